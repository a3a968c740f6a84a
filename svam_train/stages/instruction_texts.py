"""The instructions of a data set as the frozen text encoder reads them, each once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer
from svam_ros.networks.svam import Svam
from svam_train.episodes.episodes import DataError


class InstructionTexts:
    """States and pooled sentences, on the CPU.

    Args:
        instructions: of a data set, each once.
        tokenizer: the one that the text encoder was trained with.
        network: with its text encoder.

    Raises:
        DataError: an instruction has words that the text encoder was never trained on.
    """

    @torch.no_grad()
    def __init__(self, instructions: Sequence[str], tokenizer: InstructionTokenizer, network: Svam) -> None:
        self._place = {text: place for place, text in enumerate(instructions)}
        try:
            encoded = [tokenizer.encode(text) for text in instructions]
        except InstructionError as error:
            raise DataError(f"{error}: train the stages before on these instructions too") from error
        device = next(network.parameters()).device
        ids = torch.from_numpy(np.concatenate([one.token_ids for one in encoded])).to(device)
        mask = torch.from_numpy(np.concatenate([one.attention_mask for one in encoded])).to(device)
        text = network.text_encoder(ids, mask)
        self._states, self._goals = text.states.float().cpu(), text.goal.float().cpu()

    def states_of(self, instruction: str) -> Tensor:
        """``(1, length, 2 * text width)``."""
        place = self._place[instruction]
        return self._states[place : place + 1]

    def of(self, instructions: Tensor | NDArray[np.int64]) -> dict[str, Tensor]:
        """``text_states`` ``(rows, length, 2 * text width)`` and ``goals`` ``(rows, 1, goal_width)`` of the
        instructions at these places.
        """
        places = torch.as_tensor(instructions)
        return {"text_states": self._states[places], "goals": self._goals[places]}
