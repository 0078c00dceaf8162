"""The sampler table against A1111's names and its choice for Automatic."""

from __future__ import annotations

import pytest

from backend.samplers import NOT_YET, NOT_YET_SCHEDULES, SAMPLERS, SCHEDULES, find_sampler, find_schedule, resolve_schedule

A1111 = {  # version 1.10, in its order: name, its main alias, what Automatic stands for
    "DPM++ 2M": ("k_dpmpp_2m", "Karras"), "DPM++ SDE": ("k_dpmpp_sde", "Karras"), "DPM++ 2M SDE": ("k_dpmpp_2m_sde", "Exponential"),
    "DPM++ 2M SDE Heun": ("k_dpmpp_2m_sde_heun", "Exponential"), "DPM++ 2S a": ("k_dpmpp_2s_a", "Karras"),
    "DPM++ 3M SDE": ("k_dpmpp_3m_sde", "Exponential"), "Euler a": ("k_euler_a", "Uniform"), "Euler": ("k_euler", "Uniform"),
    "LMS": ("k_lms", "Uniform"), "Heun": ("k_heun", "Uniform"), "DPM2": ("k_dpm_2", "Karras"), "DPM2 a": ("k_dpm_2_a", "Karras"),
    "DPM fast": ("k_dpm_fast", "Uniform"), "DPM adaptive": ("k_dpm_ad", "Uniform"), "Restart": ("restart", "Karras"),
    "DDIM": ("ddim", "DDIM"), "DDIM CFG++": ("ddim_cfgpp", "DDIM"), "PLMS": ("plms", "DDIM"), "UniPC": ("unipc", "Uniform"), "LCM": ("k_lcm", "DDIM"),
}  # fmt: skip
A1111_SCHEDULES = {
    "Automatic": "automatic", "Uniform": "uniform", "Karras": "karras", "Exponential": "exponential", "Polyexponential": "polyexponential",
    "SGM Uniform": "sgm_uniform", "KL Optimal": "kl_optimal", "Align Your Steps": "align_your_steps", "Simple": "simple", "Normal": "normal",
    "DDIM": "ddim", "Beta": "beta",
}  # fmt: skip


def test_every_sampler_of_a1111_is_there_or_named_as_missing() -> None:
    assert set(A1111) - {row.name for row in SAMPLERS} == set(NOT_YET)
    assert set(A1111_SCHEDULES) - {row.name for row in SCHEDULES} == set(NOT_YET_SCHEDULES) - {"Turbo"}


@pytest.mark.parametrize("row", [row for row in SAMPLERS if row.name in A1111], ids=lambda row: row.name)
def test_alias_and_automatic_are_a1111s(row) -> None:
    alias, automatic = A1111[row.name]
    assert find_sampler(alias) is row
    assert resolve_schedule(row, "Automatic").name == automatic


def test_order_is_a1111s() -> None:
    ours = [row.name for row in SAMPLERS if row.name in A1111]
    assert ours == [name for name in A1111 if name in ours]


@pytest.mark.parametrize("row", SCHEDULES, ids=lambda row: row.name)
def test_schedules_are_found_by_label_and_api_name(row) -> None:
    assert find_schedule(row.name) is row
    assert find_schedule(A1111_SCHEDULES[row.name]) is row
    assert find_schedule(row.api_name.upper()) is row


def test_the_classes_are_real_and_take_their_options() -> None:
    import importlib
    import inspect

    for row in SAMPLERS:
        module, name = row.code.split(":")
        accepted = inspect.signature(getattr(importlib.import_module(module), name).__init__).parameters
        assert set(row.options) <= set(accepted), row.name
        for schedule in row.schedules:
            assert set(resolve_schedule(row, schedule).options) - {"steps_offset"} <= set(accepted), (row.name, schedule)
