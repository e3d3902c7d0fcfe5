"""Kohya's keys of the families that it has besides Stable Diffusion 1 and 2: a row each, `only` saying whose."""

from trainer.job.kohya_import.rows import Row

FLOW = "flux sd3 hunyuan anima lumina"
"""The families that learn by flow matching share some of sd-scripts' flags."""


def _rows(only: str, names: str) -> tuple[Row, ...]:
    return tuple(Row(name, why="plain_family", lacks=True, only=only) for name in names.split())


FAMILY_KEYS = (
    Row("discrete_flow_shift", off=(3, 0), why="plain_family", lacks=True, only=FLOW),
    Row("model_prediction_type", off=("sigma_scaled",), why="plain_family", lacks=True, only=FLOW),
    Row("timestep_sampling", off=("sigma",), why="plain_family", lacks=True, only=FLOW),
    Row("weighting_scheme", off=("logit_normal",), why="plain_family", lacks=True, only=FLOW),
    Row("logit_mean", off=(0,), why="plain_family", lacks=True, only=FLOW),
    Row("logit_std", off=(1,), why="plain_family", lacks=True, only=FLOW),
    Row("mode_scale", off=(1.29,), why="plain_family", lacks=True, only=FLOW),
    Row("sigmoid_scale", off=(1,), why="plain_family", lacks=True, only=FLOW),
    Row("guidance_scale", off=(3.5,), why="plain_family", lacks=True, only="flux"),
    # ---- FLUX.1 ----
    Row("model_type", off=("flux",), why="plain_family", lacks=True, only="flux"),
    Row("apply_t5_attn_mask", off=(False,), why="plain_family", lacks=True, only="flux sd3"),
    Row("split_mode", off=(False,), why="plain_family", lacks=True, only="flux"),
    Row("split_qkv", off=(False,), why="plain_family", lacks=True, only="flux"),
    Row("train_blocks", off=("all",), why="plain_family", lacks=True, only="flux"),
    Row("train_t5xxl", off=(False,), why="plain_family", lacks=True, only="flux sd3"),
    Row("t5xxl_lr", off=(0,), why="plain_family", lacks=True, only="flux sd3"),
    Row("t5xxl_max_token_length", off=(512,), why="plain_family", lacks=True, only="flux sd3"),
    Row("enable_all_linear", off=(False,), why="plain_family", lacks=True, only="flux"),
    Row("single_blocks_to_swap", off=(0,), why="not_swapped", lacks=True, only="flux"),
    Row("double_blocks_to_swap", off=(0,), why="not_swapped", lacks=True, only="flux"),
    Row("flux_fused_backward_pass", off=(False,), why="not_fused", lacks=True, only="flux"),
    Row("train_double_block_indices", off=("all",), why="plain_family", lacks=True, only="flux"),
    Row("train_single_block_indices", off=("all",), why="plain_family", lacks=True, only="flux"),
    *_rows("flux", "ae clip_l flux1_clip_l t5xxl flux1_t5xxl img_attn_dim img_mlp_dim img_mod_dim single_dim"),
    *_rows("flux", "txt_attn_dim txt_mlp_dim txt_mod_dim single_mod_dim in_dims"),
    # ---- Stable Diffusion 3 ----
    *_rows("sd3", "sd3_clip_l clip_g sd3_t5xxl"),
    Row("save_clip", off=(False,), why="plain_family", lacks=True, only="sd3"),
    Row("save_t5xxl", off=(False,), why="plain_family", lacks=True, only="sd3"),
    Row("t5xxl_dtype", off=("bf16",), why="plain_family", lacks=True, only="sd3 flux"),
    Row("sd3_clip_l_dropout_rate clip_l_dropout_rate", off=(0,), why="plain_family", lacks=True, only="sd3"),
    Row("clip_g_dropout_rate", off=(0,), why="plain_family", lacks=True, only="sd3"),
    Row("sd3_t5_dropout_rate t5_dropout_rate", off=(0,), why="plain_family", lacks=True, only="sd3"),
    Row("sd3_fused_backward_pass", off=(False,), why="not_fused", lacks=True, only="sd3"),
    Row("sd3_enable_scaled_pos_embed", off=(False,), why="plain_family", lacks=True, only="sd3"),
    Row("enable_scaled_pos_embed", off=(False,), why="plain_family", lacks=True, only="sd3"),
    Row("pos_emb_random_crop_rate", off=(0,), why="plain_family", lacks=True, only="sd3"),
    Row("apply_lg_attn_mask", off=(False,), why="plain_family", lacks=True, only="sd3"),
    # ---- HunyuanImage 2.1 ----
    *_rows("hunyuan", "hunyuan_text_encoder hunyuan_byt5 hunyuan_vae text_encoder byt5"),
    Row("hunyuan_discrete_flow_shift", off=(5,), why="plain_family", lacks=True, only="hunyuan"),
    Row("hunyuan_model_prediction_type", off=("raw",), why="plain_family", lacks=True, only="hunyuan"),
    Row("hunyuan_timestep_sampling", off=("sigma",), why="plain_family", lacks=True, only="hunyuan"),
    Row("hunyuan_sigmoid_scale", off=(1,), why="plain_family", lacks=True, only="hunyuan"),
    Row("hunyuan_attn_mode", off=("torch",), why="attention", only="hunyuan"),
    Row("hunyuan_split_attn", off=(False,), why="attention", only="hunyuan"),
    Row("hunyuan_fp8_scaled fp8_scaled", off=(False,), why="no_fp8", lacks=True, only="hunyuan"),
    Row("hunyuan_fp8_vl fp8_vl", off=(False,), why="no_fp8", lacks=True, only="hunyuan"),
    # ---- Anima ----
    *_rows("anima", "anima_qwen3 qwen3 anima_vae anima_llm_adapter_path llm_adapter_path"),
    *_rows("anima", "anima_t5_tokenizer_path t5_tokenizer_path"),
    Row("anima_discrete_flow_shift", off=(1,), why="plain_family", lacks=True, only="anima"),
    Row("anima_timestep_sampling", off=("sigmoid",), why="plain_family", lacks=True, only="anima"),
    Row("anima_sigmoid_scale", off=(1,), why="plain_family", lacks=True, only="anima"),
    Row("anima_qwen3_max_token_length", off=(512,), why="plain_family", lacks=True, only="anima"),
    Row("anima_t5_max_token_length", off=(512,), why="plain_family", lacks=True, only="anima"),
    Row("qwen3_max_token_length", off=(512,), why="plain_family", lacks=True, only="anima"),
    Row("t5_max_token_length", off=(512,), why="plain_family", lacks=True, only="anima"),
    Row("anima_attn_mode", off=("torch",), why="attention", only="anima"),
    Row("anima_split_attn", off=(False,), why="attention", only="anima"),
    # ---- Lumina Image 2.0 ----
    *_rows("lumina", "lumina_gemma2 gemma2 lumina_ae lumina_system_prompt system_prompt"),
    Row("lumina_discrete_flow_shift", off=(6,), why="plain_family", lacks=True, only="lumina"),
    Row("lumina_model_prediction_type", off=("raw",), why="plain_family", lacks=True, only="lumina"),
    Row("lumina_timestep_sampling", off=("shift",), why="plain_family", lacks=True, only="lumina"),
    Row("lumina_sigmoid_scale", off=(1,), why="plain_family", lacks=True, only="lumina"),
    Row("lumina_gemma2_max_token_length", off=(256,), why="plain_family", lacks=True, only="lumina"),
    Row("gemma2_max_token_length", off=(256,), why="plain_family", lacks=True, only="lumina"),
    Row("lumina_use_flash_attn", off=(False,), why="attention", only="lumina"),
    Row("lumina_use_sage_attn", off=(False,), why="attention", only="lumina"),
)
