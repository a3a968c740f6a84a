"""Reads one pickled checkpoint in a process of its own and leaves only tensors behind.

The only place of the project where pickle is imported. Nothing imports this package: it is started as
a program (``python -I -m svam_ros.quarantine SOURCE OUTPUT``) by
:mod:`svam_ros.artifacts.published.unpickling`, works on one file, and ends. Four walls, each enough by
itself against the pickles that are known today:

1. :mod:`~svam_ros.quarantine.allowed_globals`: a pickle may name tensors' building blocks and plain
   containers; any other name ends the reading before anything is called.
2. :mod:`~svam_ros.quarantine.confinement`: once the libraries are loaded, an audit hook refuses every
   event but those that reading and writing tensors makes: no process, no socket, no import, no other file.
3. Resource limits: memory, processor time, size of files, number of open files, no core dump.
4. The parent takes over a safetensors file and a few lines of JSON, and checks both.
"""
