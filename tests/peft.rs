//! Adapters in PEFT's files: what PEFT itself wrote (`tests/golden/peft`) is read, computed with, merged and written again;
//! what is broken or not supported is refused by name.
//!
//! With `GTCA_PEFT_OUT` naming a folder, what is written stays there for `tests/peft/make.py check`.

use gtca::Error;
use gtca::adapter::peft::{PeftAdapter, PeftLayer, Problem};
use gtca::gpu::Dtype;
use gtca::lora::{Lora, LoraDesc, Scaling};
use safetensors::tensor::{Dtype as Stored, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

const CASES: [&str; 5] = ["plain", "patterns", "layers", "f16", "bf16"];
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/peft").join(case)
}

fn config(case: &str) -> String {
    std::fs::read_to_string(golden(case).join(CONFIG)).unwrap()
}

/// A safetensors file taken apart, to be changed.
type Tensors = BTreeMap<String, (Stored, Vec<usize>, Vec<u8>)>;

fn tensors(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let part = |t: &TensorView<'_>| (t.dtype(), t.shape().to_vec(), t.data().to_vec());
    file.iter().map(|(name, tensor)| (name.to_owned(), part(&tensor))).collect()
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let view =
        |(dtype, shape, data): &'_ (Stored, Vec<usize>, Vec<u8>)| (*dtype, shape.clone(), data.clone());
    let owned: Vec<_> = tensors.iter().map(|(name, tensor)| (name, view(tensor))).collect();
    let views =
        owned.iter().map(|(name, (d, s, data))| (name, TensorView::new(*d, s.clone(), data).unwrap()));
    safetensors::serialize(views, Some(HashMap::from([("format".to_owned(), "pt".to_owned())]))).unwrap()
}

fn of_golden(case: &str, name: &str) -> Tensors {
    tensors(&std::fs::read(golden(case).join(name)).unwrap())
}

fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&tensors[name].2)
}

/// The problem that a changed file has.
fn problem(config: &str, tensors: &Tensors) -> Problem {
    match PeftAdapter::parse(config, &file(tensors)) {
        Err(Error::Peft { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

/// s·B·A of one element, and Σ of magnitudes.
fn element(layer: &PeftLayer, row: &[f32], output: usize) -> [f64; 2] {
    let (inputs, outputs) = (layer.desc.inputs as usize, layer.desc.outputs as usize);
    let scale = f64::from(Lora::new(&layer.desc).unwrap().scale());
    let mut sums = [0.0; 2];
    for (a, b) in layer.a.chunks_exact(inputs).zip(layer.b_t.chunks_exact(outputs)) {
        for (a, x) in a.iter().zip(row) {
            let product = scale * f64::from(*a) * f64::from(*x) * f64::from(b[output]);
            sums = [sums[0] + product, sums[1] + product.abs()];
        }
    }
    sums
}

#[test]
fn what_peft_wrote_computes_what_peft_computed() {
    for case in CASES {
        let adapter = PeftAdapter::load(&golden(case)).unwrap();
        let forward = of_golden(case, "forward.safetensors");
        for layer in adapter.layers() {
            let of = |part: &str| floats(&forward, &format!("{}.{part}", layer.module));
            let (inputs, outputs) = (layer.desc.inputs as usize, layer.desc.outputs as usize);
            let (x, base, y) = (of("x"), of("base"), of("y"));
            for (i, (y, base)) in y.iter().zip(&base).enumerate() {
                let [sum, magnitude] = element(layer, &x[i / outputs * inputs..][..inputs], i % outputs);
                let bound = (inputs as f64 + 8.0) * 2f64.powi(-24) * (magnitude + f64::from(base.abs()));
                let error = (f64::from(*y) - f64::from(*base) - sum).abs();
                assert!(error <= bound, "{case} {} at {i}: {error:e} over {bound:e}", layer.module);
                assert!(sum != 0.0, "the adapter does something");
            }
        }
    }
}

#[test]
fn ranks_and_scales_follow_the_patterns() {
    let adapter = PeftAdapter::load(&golden("patterns")).unwrap();
    let found: Vec<_> = adapter.layers().iter().map(|l| (&l.module[..], l.desc.rank, l.desc.alpha)).collect();
    let expected = [
        ("blocks.0.attn.q", 2, 0.5),
        ("blocks.0.attn.v", 3, 99.0),
        ("blocks.0.fc", 5, 2.0),
        ("blocks.1.attn.q", 7, 5.0),
        ("blocks.1.fc", 5, 9.0),
    ];
    assert_eq!(found, expected);
    assert!(adapter.layers().iter().all(|layer| layer.desc.scaling == Scaling::RankStabilized));
    assert!(adapter.gate().is_empty());
}

#[test]
fn saved_again_every_bit_of_every_tensor_and_every_field_is_the_same() {
    for case in CASES {
        let adapter = PeftAdapter::load(&golden(case)).unwrap();
        let out = Out::folder(&format!("{case}-again"));
        adapter.save(&out.path).unwrap();
        let saved = tensors(&std::fs::read(out.path.join(WEIGHTS)).unwrap());
        assert_eq!(saved, of_golden(case, WEIGHTS), "{case}");
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(
            json(&std::fs::read_to_string(out.path.join(CONFIG)).unwrap()),
            json(&config(case)),
            "{case}"
        );
    }
}

#[test]
fn a_config_of_our_own_says_the_same_of_every_layer() {
    let loaded = PeftAdapter::load(&golden("patterns")).unwrap();
    let built = PeftAdapter::new(loaded.layers().to_vec()).unwrap();
    let out = Out::folder("patterns-built");
    built.save(&out.path).unwrap();
    let again = PeftAdapter::load(&out.path).unwrap();
    for (one, other) in again.layers().iter().zip(loaded.layers()) {
        assert_eq!((one.desc.rank, one.desc.alpha), (other.desc.rank, other.desc.alpha), "{}", one.module);
        assert_eq!((&one.a, &one.b_t), (&other.a, &other.b_t));
    }
}

#[test]
fn numbers_in_names_count_as_numbers() {
    let desc = LoraDesc { inputs: 1, outputs: 1, rank: 1, ..Default::default() };
    let names = ["blocks.10.q", "blocks.2.q", "blocks.2.k"];
    let layers = names.map(|name| PeftLayer::zeros(name, desc).unwrap());
    let adapter = PeftAdapter::new(layers.to_vec()).unwrap();
    let again = PeftAdapter::parse(&adapter.config_text().unwrap(), &adapter.weights().unwrap()).unwrap();
    let order: Vec<_> = again.layers().iter().map(|layer| &layer.module[..]).collect();
    assert_eq!(order, ["blocks.2.k", "blocks.2.q", "blocks.10.q"]);
}

#[test]
fn what_is_more_than_lora_is_refused_by_name() {
    let fields = [
        ("dora", "use_dora"),
        ("bias", "bias"),
        ("lora-bias", "lora_bias"),
        ("modules-to-save", "modules_to_save"),
        ("pissa", "init_lora_weights"),
    ];
    for (case, expected) in fields {
        let refused = PeftAdapter::load(&golden("refused").join(case)).unwrap_err();
        let Error::Peft { problem: Problem::NotSupported { field, .. }, .. } = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(field, expected);
        // Without the field the tensors themselves still tell.
        let mut plain: serde_json::Value = serde_json::from_str(&config(&format!("refused/{case}"))).unwrap();
        plain.as_object_mut().unwrap().remove(expected);
        let tensors = of_golden(&format!("refused/{case}"), WEIGHTS);
        let parsed = PeftAdapter::parse(&plain.to_string(), &file(&tensors));
        match case {
            "pissa" => assert!(parsed.is_ok()),
            _ => {
                let error = parsed.unwrap_err();
                assert!(
                    matches!(error, Error::Peft { problem: Problem::UnknownTensor { .. }, .. }),
                    "{error}"
                );
            }
        }
    }
    let embedding = problem(&config("refused/embedding"), &of_golden("refused/embedding", WEIGHTS));
    let Problem::UnknownTensor { name } = embedding else { panic!("{embedding}") };
    assert!(name.contains("embed.lora_embedding_"));
}

#[test]
fn broken_files_are_refused_with_what_is_wrong() {
    let (text, whole) = (config("plain"), of_golden("plain", WEIGHTS));
    let name = |part: &str| format!("base_model.model.blocks.1.attn.q.lora_{part}.weight");
    let with = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = whole.clone();
        change(&mut tensors);
        problem(&text, &tensors)
    };
    let missing = with(&|t| drop(t.remove(&name("B"))));
    assert_eq!(missing, Problem::MissingTensor { name: name("B") });
    assert!(matches!(with(&|t| t.clear()), Problem::MissingTensor { .. }));
    let rank = with(&|t| t.get_mut(&name("A")).unwrap().1 = vec![8, 6]);
    let Problem::Shape { name: tensor, found, rule } = rank else { panic!("{rank}") };
    assert_eq!((tensor, &found[..]), (name("A"), "[8, 6]"));
    assert!(rule.starts_with("[4, any] is required"), "{rule}");
    let flat = with(&|t| t.get_mut(&name("B")).unwrap().1 = vec![80]);
    assert!(matches!(flat, Problem::Shape { .. }), "{flat}");
    let whole_numbers = with(&|t| t.get_mut(&name("A")).unwrap().0 = Stored::I32);
    assert!(matches!(whole_numbers, Problem::Shape { ref found, .. } if found == "I32"), "{whole_numbers}");
    let nan = with(&|t| t.get_mut(&name("A")).unwrap().2[8..12].copy_from_slice(&f32::NAN.to_le_bytes()));
    assert_eq!(nan, Problem::NotFinite { name: name("A"), element: 2, value: "NaN".to_owned() });
    let unversioned = with(&|t| {
        t.insert("gtca.gate.null".to_owned(), (Stored::F32, vec![1, 1], vec![0; 4]));
    });
    assert!(
        matches!(unversioned, Problem::Syntax(ref what) if what.contains("gtca.format")),
        "{unversioned}"
    );

    let of_config = |from: &str, to: &str| problem(&text.replace(from, to), &whole);
    let target = problem(&text.replace("\"v\"", "\"k\""), &whole);
    assert_eq!(target, Problem::UnknownTarget { module: "blocks.0.attn.v".to_owned() });
    let ranks = of_config("\"rank_pattern\": {}", "\"rank_pattern\": {\"1.attn.q\": 3}");
    assert!(matches!(ranks, Problem::Shape { .. }), "{ranks}");
    let pattern = of_config("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"(q\": 3}");
    assert!(matches!(pattern, Problem::Expression { field: "alpha_pattern", .. }), "{pattern}");
    assert!(matches!(of_config("\"r\": 4", "\"r\": \"four\""), Problem::Syntax(_)));
    assert!(matches!(of_config("\"LORA\"", "\"ADALORA\""), Problem::NotSupported { .. }));
    let garbage = PeftAdapter::parse(&text, b"not safetensors").unwrap_err();
    assert!(garbage.to_string().starts_with("adapter_model.safetensors: is broken"), "{garbage}");
    let absent = PeftAdapter::load(&golden("absent")).unwrap_err();
    assert!(
        matches!(&absent, Error::Peft { file, problem: Problem::Io(_) } if file.ends_with(CONFIG)),
        "{absent}"
    );
}

#[test]
fn what_cannot_be_saved_leaves_the_folder_as_it_was() {
    let out = Out::folder("unsaved");
    PeftAdapter::load(&golden("f16")).unwrap().save(&out.path).unwrap();
    let content = || {
        let mut all: Vec<_> = std::fs::read_dir(&out.path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = content();
    assert_eq!(before.len(), 2);
    let mut adapter = PeftAdapter::load(&out.path).unwrap();
    // Finite as f32, infinite as f16.
    adapter.layers_mut()[0].a[3] = 7e4;
    let refused = adapter.save(&out.path).unwrap_err();
    assert!(
        matches!(refused, Error::Peft { problem: Problem::NotFinite { element: 3, .. }, .. }),
        "{refused}"
    );
    adapter.layers_mut()[0].a[3] = 0.0;
    adapter.layers_mut()[0].desc.alpha = 3.0;
    let refused = adapter.save(&out.path).unwrap_err();
    assert!(refused.to_string().contains("the config gives `blocks.0.attn.q` rank 4 and α 4"), "{refused}");
    assert_eq!(content(), before);
    adapter.layers_mut()[0].desc.alpha = 4.0;
    let in_a_file = adapter.save(&out.path.join(CONFIG)).unwrap_err();
    assert!(matches!(in_a_file, Error::Peft { problem: Problem::Io(_), .. }), "{in_a_file}");
    // A folder in a file's place: neither file is left half-written.
    std::fs::remove_file(out.path.join(WEIGHTS)).unwrap();
    std::fs::create_dir(out.path.join(WEIGHTS)).unwrap();
    assert!(adapter.save(&out.path).is_err());
    assert_eq!(std::fs::read_dir(&out.path).unwrap().count(), 2);
    std::fs::remove_dir_all(&out.path).unwrap();
}

#[test]
fn merged_weights_are_pefts_to_its_rounding() {
    for case in CASES {
        let forward = of_golden(case, "forward.safetensors");
        for layer in PeftAdapter::load(&golden(case)).unwrap().layers() {
            let of = |part: &str| floats(&forward, &format!("{}.{part}", layer.module));
            let (mut weight, theirs) = (of("weight"), of("merged"));
            layer.merge(&mut weight, 1.0).unwrap();
            for (ours, theirs) in weight.iter().zip(&theirs) {
                assert!((ours - theirs).abs() <= 4e-6 * (1.0 + theirs.abs()), "{case}: {ours} {theirs}");
            }
            assert_ne!(weight, of("weight"));
        }
    }
}

#[test]
fn unmerging_returns_to_within_half_a_unit_of_either_weight() {
    let adapter = PeftAdapter::load(&golden("patterns")).unwrap();
    let layer = &adapter.layers()[2];
    let (inputs, outputs) = (layer.desc.inputs as usize, layer.desc.outputs as usize);
    let mut worst = 0.0f64;
    // From an adapter that is lost in the weight's last bits to one in which the weight is.
    for lambda in [1e-8, 1e-3, 1.0, -37.0, 1e6] {
        let weight: Vec<f32> = (0..inputs * outputs).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let mut merged = weight.clone();
        layer.merge(&mut merged, lambda).unwrap();
        let with_adapter = merged.clone();
        layer.unmerge(&mut merged, lambda).unwrap();
        for ((back, weight), merged) in merged.iter().zip(&weight).zip(&with_adapter) {
            let bound = 2f64.powi(-24) * (f64::from(weight.abs()) + f64::from(merged.abs())) * 1.000_001;
            let error = (f64::from(*back) - f64::from(*weight)).abs();
            assert!(error <= bound, "λ = {lambda}: {error:e} over {bound:e}");
            worst = worst.max(error / bound);
        }
    }
    assert!(worst > 0.2, "the bound is not far from what happens: {worst}");
}

#[test]
fn a_merge_that_would_not_be_finite_changes_nothing() {
    let mut adapter = PeftAdapter::load(&golden("plain")).unwrap();
    adapter.layers_mut()[0].a.iter_mut().for_each(|a| *a *= 1e3);
    let layer = &adapter.layers()[0];
    let mut weight = vec![1.0; (layer.desc.inputs * layer.desc.outputs) as usize];
    assert!(layer.merge(&mut weight[1..], 1.0).unwrap_err().to_string().contains("[20, 12]"));
    for lambda in [f32::NAN, f32::INFINITY, f32::MAX] {
        assert!(layer.merge(&mut weight, lambda).is_err(), "{lambda}");
    }
    assert!(weight.iter().all(|&w| w == 1.0));
    weight[13] = f32::NAN;
    let refused = layer.merge(&mut weight, 1.0).unwrap_err().to_string();
    assert!(refused.contains("at [1, 1]"), "{refused}");
    assert_eq!(weight[0], 1.0);
}

#[test]
fn layers_that_make_no_adapter_are_refused() {
    let desc = LoraDesc { inputs: 2, outputs: 3, rank: 1, ..Default::default() };
    let layer = PeftLayer::zeros("q", desc).unwrap();
    let refused = |layers: Vec<PeftLayer>| PeftAdapter::new(layers).unwrap_err().to_string();
    assert!(refused(Vec::new()).contains("`layers`"));
    assert!(refused(vec![layer.clone(), layer.clone()]).contains("`module`"));
    assert!(refused(vec![PeftLayer { b_t: vec![0.0; 2], ..layer.clone() }]).contains("2 and 3"));
    assert!(refused(vec![PeftLayer { dtype: Dtype::U32, ..layer.clone() }]).contains("`dtype`"));
    let stabilized = LoraDesc { scaling: Scaling::RankStabilized, ..desc };
    let two = vec![layer, PeftLayer::zeros("v", stabilized).unwrap()];
    assert!(refused(two).contains("one scaling to all"));
}

/// A folder that is removed again unless `GTCA_PEFT_OUT` asks for it.
struct Out {
    path: PathBuf,
    kept: bool,
}

impl Out {
    fn folder(name: &str) -> Self {
        let kept = std::env::var_os("GTCA_PEFT_OUT").map(PathBuf::from);
        let is_kept = kept.is_some();
        let path = kept.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("peft")).join(name);
        Self { path, kept: is_kept }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
