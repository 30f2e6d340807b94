from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, MistralForCausalLM

from model.config import LanguageModelConfig, LanguageModelSizes, LoraConfig
from model.errors import ConfigError, WeightsError
from model.language_model import add_lora, build_language_model

SIZES = LanguageModelSizes(60, 32, 2, 4, 2, 64, 128, rope_theta=1e4)
IDS = torch.arange(12).view(2, 6)


def save_llama(folder, *, tied=False):
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def llama_folder(tmp_path):
    return save_llama(tmp_path)


@pytest.mark.parametrize("architecture", ["mistral", "llama", "phi3"])
def test_architecture_is_built_in_the_asked_sizes(architecture):
    model = build_language_model(LanguageModelConfig(architecture=architecture, sizes=SIZES))

    assert model.config.model_type == architecture
    assert model(input_ids=IDS).logits.shape == (2, 6, 60)


def test_weights_have_the_asked_type():
    config = LanguageModelConfig(architecture="mistral", sizes=SIZES)

    model = build_language_model(config, dtype=torch.bfloat16)

    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_folder_of_llama_loads_as_mistral_with_the_same_logits(llama_folder):
    llama = build_language_model(LanguageModelConfig(path=str(llama_folder)))
    mistral = build_language_model(LanguageModelConfig(str(llama_folder), "mistral"))

    assert isinstance(llama, LlamaForCausalLM)
    assert isinstance(mistral, MistralForCausalLM)
    assert torch.equal(llama(input_ids=IDS).logits, mistral(input_ids=IDS).logits)


def test_folder_without_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json in"):
        build_language_model(LanguageModelConfig(path=str(tmp_path)))


def test_folder_that_lacks_a_weight_names_it(llama_folder):
    file = llama_folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(WeightsError, match=r"1 missing_keys: model\.norm\.weight"):
        build_language_model(LanguageModelConfig(path=str(llama_folder)))


def test_adapters_change_nothing_at_first():
    model = build_language_model(LanguageModelConfig(architecture="mistral", sizes=SIZES)).eval()
    before = model(input_ids=IDS).logits

    add_lora(model, LoraConfig(rank=2))

    assert torch.equal(model.eval()(input_ids=IDS).logits, before)


def test_adapters_stand_beside_their_targets_only():
    model = build_language_model(LanguageModelConfig(architecture="mistral", sizes=SIZES))

    add_lora(model, LoraConfig(rank=2, targets=("q_proj", "lm_head")))

    beside = {name.split(".lora_A")[0] for name, _ in model.named_parameters() if "lora_A" in name}
    layers = {f"model.layers.{index}.self_attn.q_proj" for index in (0, 1)}
    assert beside == {*layers, "lm_head"}


def test_tied_model_takes_an_adapter_at_its_head(tmp_path):
    folder = save_llama(tmp_path, tied=True)
    model = build_language_model(LanguageModelConfig(str(folder), "mistral")).eval()
    before = model(input_ids=IDS).logits

    add_lora(model, LoraConfig(rank=2))

    assert torch.equal(model.eval()(input_ids=IDS).logits, before)
    assert model.lm_head.base_layer.weight is model.model.embed_tokens.weight


def test_unknown_target_is_named(tiny):
    model = build_language_model(LanguageModelConfig(architecture="phi3", sizes=SIZES))

    with pytest.raises(ConfigError, match="Phi3ForCausalLM has no layer 'q_proj'"):
        add_lora(model, replace(tiny.lora, targets=("q_proj",)))


def passes_through_the_first_layer(*, recompute):
    """How often its feed-forward part runs in a training step, and the gradient of the input."""
    torch.manual_seed(0)
    config = LanguageModelConfig(architecture="mistral", sizes=SIZES, recompute=recompute)
    model = build_language_model(config).eval().requires_grad_(requires_grad=False)
    passes = []
    model.base_model.layers[0].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    embedded = model.get_input_embeddings()(IDS).requires_grad_()

    model(inputs_embeds=embedded, use_cache=False).logits.sum().backward()

    return len(passes), embedded.grad


def test_frozen_model_that_recomputes_runs_each_layer_again_and_has_the_same_gradient():
    kept, gradient = passes_through_the_first_layer(recompute=False)
    again, same_gradient = passes_through_the_first_layer(recompute=True)

    assert (kept, again) == (1, 2)
    assert torch.equal(gradient, same_gradient)
