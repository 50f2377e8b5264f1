"""Adapters written by PEFT itself, for `cargo test --workspace --features gtca/peft peft`.

    python make.py make FOLDER            writes the folder tests/golden/peft
    python make.py check GOLDEN WRITTEN   loads what gtca wrote (GTCA_PEFT_OUT) into PEFT and compares

Needs torch and peft; tests/golden/peft/README.md names the versions that were used.
"""

import json
import sys
import warnings
from pathlib import Path

import peft
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

WIDTH, WIDE, CLASSES, TOKENS = 12, 20, 3, 6


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDE)
        self.v = nn.Linear(WIDTH, WIDTH, bias=False)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = Attention()
        self.fc = nn.Linear(WIDE, WIDTH)

    def forward(self, x):
        return x + self.attn.v(x) + self.fc(torch.tanh(self.attn.q(x)))


class Tiny(nn.Module):
    """Two blocks with the names that adapters target, an embedding and a head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, WIDTH)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


# B is random where `init_lora_weights` is False, so that every adapter does something.
LOADED = {
    "plain": (dict(r=4, lora_alpha=6, target_modules=["q", "v"]), torch.float32),
    "patterns": (
        dict(
            r=3,
            lora_alpha=5,
            use_rslora=True,
            target_modules=r"(?!.*blocks\.1\.attn\.v).*\.(q|v|fc)",
            # Sorted as PEFT sorts them when it saves: the first that matches counts, and "q" matches both q.
            rank_pattern={"^blocks.0.attn.q": 2, r"blocks\.\d+\.fc": 5, "q": 7},
            alpha_pattern={r"^blocks\.0\.attn\.q$": 0.5, "blocks.1.(attn|fc)": 9, "fc": 2, "v$": 99},
        ),
        torch.float32,
    ),
    "layers": (
        dict(
            r=2,
            lora_alpha=3,
            target_modules=["q", "v", "fc"],
            layers_to_transform=[1],
            layers_pattern="blocks",
            exclude_modules=["attn.v"],
        ),
        torch.float32,
    ),
    "f16": (dict(r=4, lora_alpha=4, target_modules=["q"]), torch.float16),
    "bf16": (dict(r=4, lora_alpha=4, target_modules=["q", "fc"]), torch.bfloat16),
}
REFUSED = {
    "dora": dict(use_dora=True),
    "bias": dict(bias="lora_only"),
    "lora-bias": dict(lora_bias=True),
    "modules-to-save": dict(modules_to_save=["head"]),
    "embedding": dict(target_modules=["embed"]),
    "pissa": dict(init_lora_weights="pissa"),
}


def base_model(folder):
    model = Tiny()
    model.load_state_dict(load_file(folder / "base.safetensors"))
    return model.eval()


def forward(model):
    """What goes into and comes out of every adapted layer and the whole."""
    seen = {}

    def watch(name):
        def hook(module, args, output):
            base = module.get_base_layer()
            seen[f"{name}.x"], seen[f"{name}.y"] = args[0], output
            seen[f"{name}.base"], seen[f"{name}.weight"] = base(args[0]), base.weight
        return hook

    for name, module in model.base_model.model.named_modules():
        if hasattr(module, "lora_A"):
            module.register_forward_hook(watch(name))
    with torch.no_grad():
        seen["input"] = torch.randn(TOKENS, WIDTH)
        seen["output"] = model(seen["input"])
        tensors = {name: tensor.detach().float().clone() for name, tensor in seen.items()}
        model.merge_adapter()
        for name in [name for name in tensors if name.endswith(".weight")]:
            layer = model.base_model.model.get_submodule(name.removesuffix(".weight"))
            merged = layer.get_base_layer().weight.detach()
            tensors[name.replace(".weight", ".merged")] = merged.clone()
    return tensors


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    save_file(Tiny().state_dict(), folder / "base.safetensors")
    for case, (config, dtype) in LOADED.items():
        model = get_peft_model(base_model(folder), LoraConfig(init_lora_weights=False, **config)).eval()
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(dtype)
        model.save_pretrained(folder / case)
        model.float()
        save_file(forward(model), folder / case / "forward.safetensors")
    for case, config in REFUSED.items():
        config = dict(r=2, target_modules=["q"], init_lora_weights=False) | config
        get_peft_model(base_model(folder), LoraConfig(**config)).save_pretrained(folder / "refused" / case)
    for readme in folder.glob("**/README.md"):
        if readme.parent != folder:
            readme.unlink()  # the empty model card that PEFT adds
    print(f"peft {peft.__version__}, torch {torch.__version__}: {len(LOADED)} cases, {len(REFUSED)} to refuse")


def check(golden, written):
    """PEFT must load our files without a missing tensor, to the output that it had."""
    failures = 0
    for folder in sorted(path for path in written.iterdir() if path.is_dir()):
        case = folder.name.split("-")[0]
        expected = load_file(golden / case / "forward.safetensors")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = PeftModel.from_pretrained(base_model(golden), folder).eval()
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            ours = {key: file.get_tensor(key) for key in file.keys()}
        result = peft.set_peft_model_state_dict(model, ours)
        missing = [key for key in result.missing_keys if "lora_" in key]
        unexpected = sorted(result.unexpected_keys)
        with torch.no_grad():
            error = (model(expected["input"]) - expected["output"]).abs().max().item()
        # Saved once more by PEFT: the layers' tensors come back as they are.
        again = peft.get_peft_model_state_dict(model)
        same = all(torch.equal(again[key].float(), ours[key].float()) for key in again)
        good = not missing and same and error < 1e-5 and all(key.startswith("gtca.") for key in unexpected)
        failures += not good
        print(
            f"{'ok  ' if good else 'FAIL'} {folder.name}: output off by {error:.1e}; {len(again)} tensors,"
            f" {'equal' if same else 'DIFFERENT'}; missing {missing}; unexpected {unexpected};"
            f" warnings {[str(warning.message) for warning in caught]}"
        )
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["peft_type"] == "LORA"
    sys.exit(failures > 0)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    elif len(sys.argv) == 4 and sys.argv[1] == "check":
        check(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(__doc__)
