"""The parts of the starter model's training that are our own: the optimiser, and what the text encoder learns to say."""

# diffusers annotates less than its outputs have.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import nn

from tools.starter.facts import SceneFacts, ShapeFacts
from tools.starter.muon import Muon, hidden_weights, orthogonal
from tools.starter.reading import FIELDS, NOT_ASKED, Reader, answers
from tools.starter.training import chances_of, noise_steps
from tools.starter.widening import widen


def test_steps_are_orthogonal_whatever_the_gradients_scales() -> None:
    torch.manual_seed(0)
    lopsided = torch.randn(3, 24, 40) * torch.logspace(-3, 2, 40)
    for matrices in (lopsided, lopsided.mT.contiguous()):
        values = torch.linalg.svdvals(orthogonal(matrices).float())
        assert values.max() < 1.3
        assert values.median() > 0.6


def test_layers_that_touch_pixels_and_embeddings_are_left_to_adam() -> None:
    model = nn.ModuleList([nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3), nn.Embedding(50, 32), nn.Linear(32, 64), nn.Conv2d(64, 12, 1)])
    assert [weight.shape[0] for weight in hidden_weights(model)] == [32, 64]


def test_a_step_goes_against_the_gradient_as_far_as_adams_would() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(32, 16, 3, 3))
    weight.grad = torch.randn_like(weight) * 1e-4
    Muon([weight], lr=0.01, weight_decay=0.0).step()
    assert float((weight.detach() * weight.grad).sum()) < 0
    assert 0.5 < float(weight.detach().square().mean().sqrt()) / (0.2 * 0.01) < 1.5


def test_a_reader_learns_what_captions_say_and_is_not_asked_for_the_rest() -> None:
    facts = [ShapeFacts(colour="red", shape="star", ground="blue"), SceneFacts(land="sea", time="night", body="moon")]
    wanted = answers(facts)
    names = list(FIELDS)
    assert wanted[0, names.index("land")] == NOT_ASKED and wanted[1, names.index("shape")] == NOT_ASKED
    assert FIELDS["shape"][wanted[0, names.index("shape")]] == "star"
    torch.manual_seed(0)
    reader, vectors = Reader(32), torch.randn(2, 32)
    optimizer = torch.optim.Adam(reader.parameters(), lr=0.05)
    first = float(reader(vectors, wanted))
    for _ in range(60):
        optimizer.zero_grad()
        loss = reader(vectors, wanted)
        loss.backward()
        optimizer.step()
    assert float(reader(vectors, wanted)) < 0.05 * first


def test_noise_steps_lie_in_the_middle_mostly_and_leave_out_none() -> None:
    steps = noise_steps(np.random.default_rng(0), 20_000, 1000)
    assert steps.min() < 5 and steps.max() in range(995, 1000)
    counts, _ = np.histogram(steps, bins=10, range=(0, 1000))
    assert counts.min() > 0.3 * 20_000 / 10 * 0.9, "the uniform part is everywhere"
    assert counts[3:5].sum() > 1.5 * counts[8:].sum()


def test_pointed_shapes_are_looked_at_more_often() -> None:
    star, circle = (ShapeFacts(colour="red", shape=shape, ground="blue") for shape in ("star", "circle"))
    chances = chances_of([star, circle, SceneFacts(land="sea", time="day")])
    assert abs(chances.sum() - 1) < 1e-9 and chances[0] > 2 * chances[1] and chances[1] == chances[2]


def autoencoder(width: int, encoder: tuple[int, ...], decoder: tuple[int, ...]) -> AutoencoderTiny:
    widths = (width,) * len(encoder)
    return AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        latent_channels=4,
        num_encoder_blocks=encoder,
        num_decoder_blocks=decoder,
    )


def test_a_wider_autoencoder_begins_as_what_it_came_from_and_can_learn_with_all_of_itself() -> None:
    torch.manual_seed(0)
    trained, larger = autoencoder(8, (0, 1, 2), (1, 1, 0)), autoencoder(12, (0, 1, 2), (2, 3, 0))
    widen(trained, larger)
    pixels = torch.rand(1, 3, 32, 32)
    latents = trained.encode(pixels).latents
    assert torch.allclose(larger.encode(pixels).latents, latents, atol=1e-5)
    assert torch.allclose(larger.decode(latents).sample, trained.decode(latents).sample, atol=1e-5)
    larger.decode(latents.detach()).sample.square().sum().backward()
    last = [weight.grad for name, weight in larger.decoder.named_parameters() if name.endswith("conv.4.weight")]
    rows = [float(grad[:8, 8:].abs().sum()) for grad in last if grad is not None]
    assert rows and all(rows), "what the new channels say can be learned"
