"""What is learnt from: episodes of any source behind one interface, checked before the first step."""
