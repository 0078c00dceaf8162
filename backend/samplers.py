"""The table of samplers and schedule types under A1111's names, with the diffusers class and options behind each.

Reading the table loads no tensors. What `Automatic` means for each sampler is A1111 1.10's choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.errors import BadRequest

AUTOMATIC = "Automatic"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One way to space the noise levels."""

    name: str
    api_name: str
    options: Mapping[str, object] = field(default_factory=dict)
    """Settings of the scheduler class that bring it about."""
    aliases: tuple[str, ...] = ()
    rho: float = -1.0
    """As A1111's API gives it; -1 where the schedule has none."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """One solver."""

    name: str
    code: str
    """"module:Class" of the scheduler."""
    options: Mapping[str, object] = field(default_factory=dict)
    automatic: str = "Uniform"
    """The schedule that `Automatic` stands for."""
    schedules: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    sample_space: str = "sigma"
    """"sigma": samples are x0 + sigma * noise; "alpha": samples are sqrt(a) * x0 + sqrt(1 - a) * noise."""
    flow: str = ""
    """"module:Class" of the scheduler for models that learned by flow matching; empty where this solver has none for them."""
    flow_options: Mapping[str, object] = field(default_factory=dict)


SCHEDULES: tuple[Schedule, ...] = (
    Schedule(name=AUTOMATIC, api_name="automatic"),
    Schedule(name="Uniform", api_name="uniform", options={"timestep_spacing": "linspace"}),
    Schedule(name="Karras", api_name="karras", options={"use_karras_sigmas": True}, rho=7.0),
    Schedule(name="Exponential", api_name="exponential", options={"use_exponential_sigmas": True}),
    Schedule(name="SGM Uniform", api_name="sgm_uniform", options={"timestep_spacing": "trailing"}, aliases=("SGMUniform",)),
    Schedule(name="Simple", api_name="simple", options={"timestep_spacing": "trailing"}),
    Schedule(name="Normal", api_name="normal", options={"timestep_spacing": "linspace"}),
    Schedule(name="DDIM", api_name="ddim", options={"timestep_spacing": "leading", "steps_offset": 1}),
    Schedule(name="Beta", api_name="beta", options={"use_beta_sigmas": True}),
)

_SPACED = (AUTOMATIC, "Uniform", "SGM Uniform", "Simple", "Normal", "DDIM")
_ALL = tuple(schedule.name for schedule in SCHEDULES)
_PLUS_PLUS = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint", "final_sigmas_type": "zero"}
_SDE = {**_PLUS_PLUS, "algorithm_type": "sde-dpmsolver++"}
_FLOW = {"prediction_type": "flow_prediction"}

SAMPLERS: tuple[Sampler, ...] = (
    Sampler(name="DPM++ 2M", code="diffusers:DPMSolverMultistepScheduler", options=_PLUS_PLUS, automatic="Karras",
            schedules=_ALL, aliases=("k_dpmpp_2m",), sample_space="alpha",
            flow="diffusers:DPMSolverMultistepScheduler", flow_options={**_PLUS_PLUS, **_FLOW}),
    Sampler(name="DPM++ SDE", code="diffusers:DPMSolverSDEScheduler", automatic="Karras", schedules=_ALL, aliases=("k_dpmpp_sde",)),
    Sampler(name="DPM++ 2M SDE", code="diffusers:DPMSolverMultistepScheduler", options=_SDE,
            automatic="Exponential", schedules=_ALL, aliases=("k_dpmpp_2m_sde",), sample_space="alpha",
            flow="diffusers:DPMSolverMultistepScheduler", flow_options={**_SDE, **_FLOW}),
    Sampler(name="DPM++ 2M SDE Heun", code="diffusers:DPMSolverMultistepScheduler",
            options={**_SDE, "solver_type": "heun"},
            automatic="Exponential", schedules=_ALL, aliases=("k_dpmpp_2m_sde_heun",), sample_space="alpha"),
    Sampler(name="Euler a", code="diffusers:EulerAncestralDiscreteScheduler", schedules=_SPACED, aliases=("k_euler_a", "k_euler_ancestral")),
    Sampler(name="Euler", code="diffusers:EulerDiscreteScheduler", schedules=_ALL, aliases=("k_euler",),
            flow="diffusers:FlowMatchEulerDiscreteScheduler"),
    Sampler(name="LMS", code="diffusers:LMSDiscreteScheduler", schedules=_ALL, aliases=("k_lms",)),
    Sampler(name="Heun", code="diffusers:HeunDiscreteScheduler", schedules=_ALL, aliases=("k_heun",),
            flow="diffusers:FlowMatchHeunDiscreteScheduler"),
    Sampler(name="DPM2", code="diffusers:KDPM2DiscreteScheduler", automatic="Karras", schedules=_ALL, aliases=("k_dpm_2",)),
    Sampler(name="DPM2 a", code="diffusers:KDPM2AncestralDiscreteScheduler", automatic="Karras", schedules=_ALL, aliases=("k_dpm_2_a",)),
    Sampler(name="DDIM", code="diffusers:DDIMScheduler", options={"set_alpha_to_one": False, "clip_sample": False},
            automatic="DDIM", schedules=_SPACED, aliases=("ddim",), sample_space="alpha"),
    Sampler(name="PLMS", code="diffusers:PNDMScheduler", options={"skip_prk_steps": True, "set_alpha_to_one": False},
            automatic="DDIM", schedules=_SPACED, aliases=("plms",), sample_space="alpha"),
    Sampler(name="UniPC", code="diffusers:UniPCMultistepScheduler", schedules=_ALL, aliases=("unipc",), sample_space="alpha",
            flow="diffusers:UniPCMultistepScheduler", flow_options={"solver_order": 2, "solver_type": "bh2", **_FLOW}),
    Sampler(name="LCM", code="diffusers:LCMScheduler", automatic="DDIM", schedules=(AUTOMATIC,), aliases=("k_lcm",), sample_space="alpha",
            flow="diffusers:FlowMatchLCMScheduler"),
    Sampler(name="DDPM", code="diffusers:DDPMScheduler", options={"clip_sample": False}, automatic="DDIM",
            schedules=_SPACED, aliases=("ddpm",), sample_space="alpha"),
    Sampler(name="DEIS", code="diffusers:DEISMultistepScheduler", options={"solver_order": 2, "algorithm_type": "deis"},
            schedules=_ALL, aliases=("deis",), sample_space="alpha"),
)  # fmt: skip

FLOW_SAMPLERS = tuple(row.name for row in SAMPLERS if row.flow)
"""Those that can draw with a model that learned by flow matching."""

FLOW_SCHEDULES = (AUTOMATIC, "Uniform", "Karras", "Exponential", "SGM Uniform", "Simple", "Normal", "Beta")
"""What such a model can use. There, `Automatic` is the model's own schedule, whatever the sampler."""

NOT_YET = ("DPM++ 2S a", "DPM++ 3M SDE", "DPM fast", "DPM adaptive", "Restart", "DDIM CFG++")
NOT_YET_SCHEDULES = ("Polyexponential", "KL Optimal", "Align Your Steps", "Turbo")


def _keys(row: Sampler | Schedule) -> set[str]:
    names = {row.name, *row.aliases}
    if isinstance(row, Schedule):
        names.add(row.api_name)
    return {name.lower() for name in names}


_SAMPLER_BY_KEY = {key: row for row in SAMPLERS for key in _keys(row)}
_SCHEDULE_BY_KEY = {key: row for row in SCHEDULES for key in _keys(row)}


def find_sampler(name: str) -> Sampler:
    """The row of that name or alias, in any letter case. Raises BadRequest; nothing is swapped for another."""
    row = _SAMPLER_BY_KEY.get(name.strip().lower())
    if row:
        return row
    known = ", ".join(sampler.name for sampler in SAMPLERS)
    what = "is not available yet" if name in NOT_YET else "is not a sampler"
    raise BadRequest({"sampler": f"“{name[:60]}” {what}. Choose one of: {known}."})


def find_schedule(name: str) -> Schedule:
    """The row of that label, API name or alias, in any letter case. Raises BadRequest."""
    row = _SCHEDULE_BY_KEY.get(name.strip().lower())
    if row:
        return row
    known = ", ".join(schedule.name for schedule in SCHEDULES)
    what = "is not available yet" if name in NOT_YET_SCHEDULES else "is not a schedule type"
    raise BadRequest({"scheduler": f"“{name[:60]}” {what}. Choose one of: {known}."})


def split_combined(sampler: str, schedule: str = AUTOMATIC) -> tuple[str, str]:
    """Names of sampler and schedule, where `sampler` may be an old combined name such as "DPM++ 2M Karras".

    A1111 wrote those before version 1.9. A schedule other than Automatic wins over the one in the combined name.
    Raises BadRequest for unknown names.
    """
    if sampler.strip().lower() in _SAMPLER_BY_KEY:
        return find_sampler(sampler).name, find_schedule(schedule).name
    for row in sorted(SCHEDULES, key=lambda row: -len(row.name)):
        head = sampler.strip().lower().removesuffix(" " + row.name.lower())
        if head != sampler.strip().lower() and head in _SAMPLER_BY_KEY:
            asked = find_schedule(schedule).name
            return find_sampler(head).name, row.name if asked == AUTOMATIC else asked
    return find_sampler(sampler).name, schedule


def resolve_schedule(sampler: Sampler, name: str, *, flow: bool = False) -> Schedule:
    """The schedule that the sampler will really use, with `Automatic` resolved. Raises BadRequest where the two do not fit.

    With `flow`, for models that learned by flow matching, `Automatic` stays what it is: the model's own.
    """
    schedule = find_schedule(name)
    if schedule.name not in sampler.schedules:
        fit = ", ".join(sampler.schedules)
        raise BadRequest({"scheduler": f"{sampler.name} cannot use the schedule type {schedule.name}. It can use: {fit}."})
    return find_schedule(sampler.automatic) if schedule.name == AUTOMATIC and not flow else schedule
