"""The colours, sizes and type of the page, light and dark."""

from __future__ import annotations

from typing import cast

from gradio.themes import Base, Color, sizes

# Greys without a tint, so that they do not colour how a picture is seen; the accent is the pigment viridian.
GREYS = Color(
    name="ink", c50="#fafafa", c100="#f4f4f4", c200="#e4e4e3", c300="#cfcfcd", c400="#9b9b98", c500="#6c6c69",
    c600="#565654", c700="#3c3c3a", c800="#262625", c900="#1a1a19", c950="#111110",
)  # fmt: skip
VIRIDIAN = Color(
    name="viridian", c50="#edf8f6", c100="#d2eee9", c200="#a8ded5", c300="#74c7ba", c400="#4fb5a6", c500="#1f8f80",
    c600="#0f766a", c700="#0d5f56", c800="#0e4c45", c900="#0c3f3a", c950="#042624",
)  # fmt: skip
SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Cantarell", "Noto Sans", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

COLOURS = {
    "body_background_fill": ("#f5f5f4", "#131312"),
    "body_text_color": ("#1f1f1e", "#ededeb"),
    "body_text_color_subdued": ("#5f5f5c", "#a5a5a1"),
    "background_fill_primary": ("#ffffff", "#1c1c1b"),
    "background_fill_secondary": ("#f5f5f4", "#131312"),
    "block_background_fill": ("#ffffff", "#1c1c1b"),
    "block_label_text_color": ("#3c3c3a", "#cfcfcd"),
    "block_title_text_color": ("#3c3c3a", "#cfcfcd"),
    "block_info_text_color": ("#5f5f5c", "#a5a5a1"),
    "border_color_primary": ("#dededc", "#323230"),
    "border_color_accent": ("#0f766a", "#4fb5a6"),
    "color_accent_soft": ("#e3f3f0", "#12312d"),
    "slider_color": ("#0f766a", "#4fb5a6"),
    "input_background_fill": ("#ffffff", "#232322"),
    "input_background_fill_focus": ("#ffffff", "#232322"),
    "input_border_color": ("#cfcfcd", "#3a3a38"),
    "input_border_color_focus": ("#0f766a", "#4fb5a6"),
    "input_placeholder_color": ("#6a6a67", "#979793"),
    "checkbox_background_color_selected": ("#0f766a", "#3fa394"),
    "checkbox_border_color_selected": ("#0f766a", "#3fa394"),
    "button_primary_background_fill": ("#0f766a", "#4fb5a6"),
    "button_primary_background_fill_hover": ("#0d6259", "#63c3b5"),
    "button_primary_text_color": ("#ffffff", "#06211d"),
    "button_secondary_background_fill": ("#ffffff", "#262625"),
    "button_secondary_background_fill_hover": ("#eeeeec", "#313130"),
    "button_secondary_text_color": ("#1f1f1e", "#ededeb"),
    "button_secondary_border_color": ("#cfcfcd", "#3a3a38"),
    "loader_color": ("#0f766a", "#4fb5a6"),
}
"""Gradio's variable to its value in light and in dark. Text has a contrast of 4.5 or more on every ground it stands on."""


class AtelierTheme(Base):
    def __init__(self) -> None:
        super().__init__(
            primary_hue=VIRIDIAN, secondary_hue=VIRIDIAN, neutral_hue=GREYS, radius_size=sizes.radius_md, spacing_size=sizes.spacing_sm,
            text_size=sizes.text_sm, font=SYSTEM_FONTS, font_mono=SYSTEM_MONO,
        )  # fmt: skip
        colours = {name: light for name, (light, _) in COLOURS.items()} | {f"{name}_dark": dark for name, (_, dark) in COLOURS.items()}
        shapes = {
            "color_accent": "#1f8f80", "input_border_width": "1px", "block_border_width": "0px", "block_shadow": "none", "input_shadow": "none",
            "input_shadow_focus": "none",
            "block_padding": "0", "button_border_width": "1px", "button_primary_border_color": "transparent",
            "button_primary_border_color_dark": "transparent", "input_padding": "8px 11px", "input_radius": "8px", "block_radius": "10px",
            "button_large_radius": "9px", "button_medium_radius": "8px", "button_small_radius": "7px", "layout_gap": "12px",
            "block_title_text_weight": "500", "button_large_text_weight": "600", "form_gap_width": "0px", "section_header_text_weight": "600",
        }  # fmt: skip
        self.set(**cast("dict[str, str]", colours | shapes))  # type: ignore[arg-type]
