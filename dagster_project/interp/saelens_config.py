"""What a SAELens cfg.json says about how its dictionary encodes, checked key by key.

Keys of the current version, with those about the model under `metadata`, and of older ones, flat
and under other names (`hook_point`, `activation_fn_str`), whole training configurations among them.
A key is honoured, or says nothing about encoding (HARMLESS), or is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dagster_project.interp.dictionary_checks import DictionaryError
from dagster_project.interp.foreign_names import hooks

ARCHITECTURES = ("standard", "gated", "jumprelu", "topk")
_RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
_HONOURED = {
    "activation_fn",
    "activation_fn_kwargs",
    "apply_b_dec_to_input",
    "architecture",
    "d_in",
    "d_sae",
    "finetuning_scaling_factor",
    "hook_head_index",
    "hook_head_index_out",
    "hook_name",
    "hook_name_out",
    "k",
    "metadata",
    "model_from_pretrained_kwargs",
    "normalize_activations",
    "rescale_acts_by_decoder_norm",
    "reshape_activations",
}
_OF_MODEL_AND_LIBRARY = """
    context_size dataset_path dataset_trust_remote_code device dtype exclude_special_tokens
    hf_hook_name hook_layer hook_point_layer model_class_name model_name neuronpedia_id
    prepend_bos sae_lens_training_version sae_lens_version seqpos_slice training_architecture
    training_architecture_details verbose
"""
_OF_DATA = """
    act_store_device activations_mixing_fraction cached_activations_path
    disable_concat_sequences is_dataset_tokenized llm_device model_kwargs
    n_batches_for_norm_estimate n_batches_in_buffer prefetch_llm_batches
    sequence_separator_token store_batch_size store_batch_size_prompts streaming
    tokens_per_buffer total_training_tokens train_batch_size train_batch_size_tokens
    training_tokens use_cached_activations use_chat_formatting
"""
_OF_TRAINING = """
    adam_beta1 adam_beta2 aux_loss_coefficient b_dec_init_method dead_feature_estimation_method
    dead_feature_threshold dead_feature_window decoder_heuristic_init decoder_init_norm
    decoder_orthogonal_init expansion_factor feature_reinit_scale feature_sampling_method
    feature_sampling_window from_pretrained_path init_encoder_as_decoder_transpose
    jumprelu_bandwidth jumprelu_init_threshold jumprelu_sparsity_loss_mode jumprelu_ste_to_input
    jumprelu_tanh_scale l0_coefficient l0_warm_up_steps l1_coefficient l1_warm_up_steps lp_norm
    lr lr_decay_steps lr_end lr_scheduler_name lr_warm_up_steps mse_loss_normalization
    n_restart_cycles normalize_sae_decoder pre_act_loss_coefficient resample_batches
    scale_sparsity_penalty_by_decoder_norm seed target_l0 topk_threshold_lr use_ghost_grads
    use_sparse_activations
"""
_OF_MACHINE_AND_LOGS = """
    autocast autocast_lm checkpoint_path compile_llm compile_sae eval_batch_size_prompts
    eval_every_n_wandb_logs hook_eval llm_compilation_mode log_activations_store_to_wandb
    log_optimizer_state_to_wandb log_to_wandb log_weights_to_wandb logger n_checkpoints
    n_eval_batches output_path resume_from_checkpoint run_name sae_class_name
    sae_compilation_mode save_final_checkpoint unique_id wandb_entity wandb_id
    wandb_log_frequency wandb_project
"""
HARMLESS = frozenset(
    (_OF_MODEL_AND_LIBRARY + _OF_DATA + _OF_TRAINING + _OF_MACHINE_AND_LOGS).split()
)
_OF_THE_MODEL = {"center_unembed", "device", "dtype", "fold_ln", "n_devices", "torch_dtype"}


class Encoding(NamedTuple):
    """What is left to do with the weights."""

    architecture: str  # one of ARCHITECTURES
    k: object  # of topk, unchecked
    subtracted: bool  # whether b_dec is taken from x
    unit_rows: bool  # whether features are multiplied by the norm of their decoder rows
    centred: bool  # whether the stream's mean is taken from it: TransformerLens's centring
    scaled: bool  # whether x is multiplied by a number that the file does not say
    d_in: object
    d_sae: object


def encoding(file: Path, config: Mapping[str, object], site: str) -> Encoding:
    """How the dictionary of a site encodes. Raises DictionaryError."""
    known = _flat(file, config)
    _check_place(file, known, site)
    architecture, k = _architecture(file, known)
    norm = known.get("normalize_activations") or "none"
    if norm not in ("none", "expected_average_only_in", True):
        expected = "normalize_activations none or expected_average_only_in: others are not linear"
        raise DictionaryError(file, expected, repr(norm))
    if known.get("finetuning_scaling_factor"):
        found = repr(known["finetuning_scaling_factor"])
        raise DictionaryError(file, "finetuning_scaling_factor false", found)
    return Encoding(
        architecture,
        k,
        subtracted=_flag(file, known, "apply_b_dec_to_input", default=True),
        unit_rows=_flag(file, known, "rescale_acts_by_decoder_norm", default=False),
        centred=_centred(file, known.get("model_from_pretrained_kwargs")),
        scaled=norm != "none",
        d_in=known.get("d_in"),
        d_sae=known.get("d_sae"),
    )


def _flat(file: Path, config: Mapping[str, object]) -> dict[str, object]:
    """All keys by their present names, those of `metadata` too. Raises DictionaryError."""
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise DictionaryError(file, "metadata, an object", repr(metadata))
    every = {**metadata, **config}
    named = {_RENAMED.get(key, key): value for key, value in every.items()}
    if unknown := sorted(named.keys() - _HONOURED - HARMLESS):
        expected = "keys whose meaning is known: none is passed over"
        raise DictionaryError(file, expected, ", ".join(f"{k} = {named[k]!r}" for k in unknown))
    return named


def _check_place(file: Path, known: Mapping[str, object], site: str) -> None:
    hook = known.get("hook_name")
    if hook is not None and hook not in hooks(site):
        raise DictionaryError(file, f"hook_name {' or '.join(hooks(site))} for {site}", repr(hook))
    for key in ("hook_head_index", "hook_head_index_out", "hook_name_out"):
        if known.get(key) is not None:
            expected = f"no {key}: a dictionary of one whole site"
            raise DictionaryError(file, expected, repr(known[key]))
    shape = known.get("reshape_activations") or "none"
    if shape not in ("none", "hook_z") or (shape == "hook_z" and not site.startswith("z_")):
        expected = "reshape_activations none, or hook_z at a site z_i"
        raise DictionaryError(file, expected, repr(shape))


def _architecture(file: Path, known: Mapping[str, object]) -> tuple[str, object]:
    """Architecture and k; older files have a standard one whose activation is topk."""
    name, act = known.get("architecture", "standard"), known.get("activation_fn") or "relu"
    if name not in ARCHITECTURES:
        raise DictionaryError(file, f"architecture one of {', '.join(ARCHITECTURES)}", repr(name))
    arguments = known.get("activation_fn_kwargs") or {}
    if not isinstance(arguments, dict):
        raise DictionaryError(file, "activation_fn_kwargs, an object", repr(arguments))
    if act == "topk" and name in ("standard", "topk"):
        name, left = "topk", set(arguments) - {"k"}
    else:
        left = set(arguments) if act == "relu" else {"activation_fn"}
    if left:
        found = f"{act!r} with {arguments}"
        raise DictionaryError(file, "activation_fn relu, or topk with k alone", found)
    given = [k for k in (known.get("k"), arguments.get("k")) if k is not None]
    if name == "topk" and (not given or given[0] != given[-1]):
        raise DictionaryError(file, "one k of architecture topk", given or "none")
    return str(name), given[0] if given else 0


def _centred(file: Path, arguments: object) -> bool:
    if not isinstance(arguments, dict | None):
        raise DictionaryError(file, "model_from_pretrained_kwargs, an object", repr(arguments))
    given = arguments or {}
    if unknown := sorted(k for k in given.keys() - _OF_THE_MODEL if k != "center_writing_weights"):
        expected = "model_from_pretrained_kwargs whose meaning is known"
        raise DictionaryError(file, expected, ", ".join(f"{k} = {given[k]!r}" for k in unknown))
    return _flag(file, given, "center_writing_weights", default=False)


def _flag(file: Path, known: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = known.get(key, default)
    if not isinstance(value, bool):
        raise DictionaryError(file, f"{key} true or false", repr(value))
    return value
