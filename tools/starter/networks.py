"""The starter model's networks, tokenizer and scheduler: small, and of Stable Diffusion's own classes."""

# diffusers and transformers annotate their arguments more narrowly than they take them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tools.starter.captions import vocabulary

LATENT_CHANNELS = 12
TEXT_WIDTH = 160
TOKENS = 77


def autoencoder() -> AutoencoderTiny:
    """8x smaller to each side, 12 channels: 16 picture values to each latent value. Half as wide, it stops at 30 dB."""
    width = (64, 64, 64, 64)
    return AutoencoderTiny(
        encoder_block_out_channels=width, decoder_block_out_channels=width, latent_channels=LATENT_CHANNELS,
        num_encoder_blocks=(0, 1, 3, 3), num_decoder_blocks=(4, 4, 2, 0),
    )  # fmt: skip


def unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
        block_out_channels=(80, 128, 192), layers_per_block=1, norm_num_groups=16,
        attention_head_dim=(2, 4, 6), cross_attention_dim=TEXT_WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges that make every word one token: the commonest pair first, equal ones by the alphabet.

    `tokenizers`' own trainer leaves the order of equal pairs to chance, and a resumed training needs the same numbers.
    """
    spelled, merges = [[*word[:-1], word[-1] + "</w>"] for word in words], []
    while pairs := Counter(pair for word in spelled for pair in pairwise(word)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word in spelled:
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == best:
                    word[place : place + 2] = ["".join(best)]
                place += 1
    return merges


def tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level tokenizer: one token for each word that captions use, and pieces for every other word."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges(vocabulary())
    pieces = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: number for number, piece in enumerate(dict.fromkeys(pieces))}, merges=merges, model_max_length=TOKENS)


def text_encoder(words: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, projection_dim=TEXT_WIDTH,
        num_hidden_layers=3, num_attention_heads=5, max_position_embeddings=TOKENS,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    return CLIPTextModel(config)


def scheduler() -> DPMSolverMultistepScheduler:
    """v-prediction on scaled-linear betas that end at 0.02 where Stable Diffusion's end at 0.012.

    On 16x16 latents its last noise level (14.6) still lets the mean brightness through, and the model
    learns to expect it there; at 64.8 nothing is left, so that a white ground can start from pure noise.
    """
    return DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear", prediction_type="v_prediction",
        algorithm_type="dpmsolver++", steps_offset=1, timestep_spacing="linspace",
    )  # fmt: skip
