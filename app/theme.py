"""The looks of the page: Gradio's theme in this program's colours, and the style sheet."""

import pathlib

import gradio as gr

from app import widgets
from trainer.job import fields

FONTS = (
    "system-ui",
    "Segoe UI",
    "Hiragino Sans",
    "Yu Gothic UI",
    "Meiryo",
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "sans-serif",
)

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.teal,
    secondary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.stone,
    font=list(FONTS),
    font_mono=["ui-monospace", "SFMono-Regular", "Consolas", "monospace"],
    radius_size=gr.themes.sizes.radius_md,
).set(
    body_background_fill="#fafaf9",
    body_background_fill_dark="#171716",
    background_fill_primary="#ffffff",
    background_fill_primary_dark="#1f1f1e",
    background_fill_secondary="#f5f5f4",
    background_fill_secondary_dark="#262625",
    border_color_primary="#e2e0dd",
    border_color_primary_dark="#3a3937",
    block_background_fill="transparent",
    block_background_fill_dark="transparent",
    block_border_width="0px",
    block_shadow="none",
    block_padding="0",
    block_label_background_fill="transparent",
    block_title_text_weight="600",
    block_title_text_size="14px",
    block_info_text_size="13px",
    block_info_text_color="#6b6862",
    block_info_text_color_dark="#a3a09a",
    input_background_fill="#ffffff",
    input_background_fill_dark="#262625",
    input_border_color="#d3d0cb",
    input_border_color_dark="#46443f",
    input_border_width="1px",
    input_shadow="none",
    input_shadow_focus="0 0 0 3px color-mix(in srgb, var(--accent) 22%, transparent)",
    input_border_color_focus="var(--accent)",
    input_text_size="15px",
    color_accent="var(--accent)",
    button_primary_background_fill="var(--accent)",
    button_primary_background_fill_dark="var(--accent)",
    button_primary_background_fill_hover="var(--accent-strong)",
    button_primary_background_fill_hover_dark="var(--accent-strong)",
    button_primary_text_color="var(--on-accent)",
    button_primary_text_color_dark="var(--on-accent)",
    button_secondary_background_fill="transparent",
    button_secondary_background_fill_dark="transparent",
    button_secondary_background_fill_hover="var(--background-fill-secondary)",
    button_secondary_border_color="var(--border-color-primary)",
    button_transition="none",
    checkbox_background_color_selected="var(--accent)",
    checkbox_background_color_selected_dark="var(--accent)",
    checkbox_border_color_selected="var(--accent)",
    checkbox_border_color_selected_dark="var(--accent)",
    layout_gap="16px",
)


def css() -> str:
    """The style sheet: page.css, the units inside of their fields, and what hides fields that do not apply."""
    sheet = pathlib.Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    specs = fields.specs().values()
    units = "".join(
        f'.unit-{widgets.unit_class(unit)} > label::after{{content:"{unit}"}}\n'
        for unit in dict.fromkeys(spec.unit for spec in specs if spec.unit)
    )
    needs = "".join(
        f'body:not([data-can~="{need}"]) .needs-{need}{{display:none!important}}\n'
        for need in dict.fromkeys(spec.needs for spec in specs if spec.needs)
    )
    return sheet + units + needs
