//! Golden tensors by name: `<group>[.case<k>][.<variant>].<leaf>`, where the leaf starts with `in.` or `out`.
//!
//! A name that starts with `case<k>` belongs to the group `case`; one that starts with `in.` is shared by the file.

use super::Result;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, BTreeSet};

/// Group, case number, variant: `rff.rff0` is `("rff", None, "rff0")`.
type Place = (String, Option<u32>, String);

struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// One golden file.
pub struct GoldenFile {
    pub stem: String,
    scopes: BTreeMap<Place, BTreeMap<String, Tensor>>,
}

impl GoldenFile {
    pub fn parse(stem: &str, bytes: &[u8]) -> Result<Self> {
        let mut scopes = BTreeMap::<Place, BTreeMap<String, Tensor>>::new();
        for (name, tensor) in SafeTensors::deserialize(bytes)?.tensors() {
            let (place, leaf) = split(&name);
            let tensor = Tensor {
                dtype: tensor.dtype(),
                shape: tensor.shape().to_vec(),
                bytes: tensor.data().to_vec(),
            };
            scopes.entry(place).or_default().insert(leaf, tensor);
        }
        Ok(Self { stem: stem.to_owned(), scopes })
    }

    /// The names of all groups, those without an output included.
    pub fn groups(&self) -> BTreeSet<&str> {
        self.scopes.keys().map(|(group, ..)| group.as_str()).filter(|group| !group.is_empty()).collect()
    }

    /// Every place of the group that holds outputs.
    pub fn cases<'a>(&'a self, group: &'a str) -> impl Iterator<Item = Case<'a>> {
        let of_group = self.scopes.iter().filter(move |((name, ..), _)| name == group);
        let with_outputs = of_group.filter(|(_, leaves)| leaves.keys().any(|leaf| leaf.starts_with("out")));
        with_outputs.map(|(place, _)| Case { file: self, place })
    }
}

/// The place of a tensor, and the rest of its name.
fn split(name: &str) -> (Place, String) {
    let parts: Vec<&str> = name.split('.').collect();
    let is_leaf = |part: &&str| matches!(*part, "in" | "out") || part.starts_with("out_");
    let at = parts.iter().position(is_leaf).unwrap_or(parts.len() - 1);
    let leaf = parts[at..].join(".");
    let number = |part: &str| part.strip_prefix("case").and_then(|k| k.parse().ok());
    let place = match &parts[..at] {
        [] => (String::new(), None, String::new()),
        [first, rest @ ..] if number(first).is_some() => ("case".into(), number(first), rest.join(".")),
        [first, second, rest @ ..] if number(second).is_some() => {
            ((*first).into(), number(second), rest.join("."))
        }
        [first, rest @ ..] => ((*first).into(), None, rest.join(".")),
    };
    (place, leaf)
}

/// Inputs and outputs of one result of an upstream function.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    file: &'a GoldenFile,
    place: &'a Place,
}

#[allow(dead_code, reason = "groups come one by one and need different accessors")]
impl<'a> Case<'a> {
    /// The case of the same number in another group of the file, or what that group's cases share.
    pub fn beside(&self, group: &str) -> Option<Case<'a>> {
        let place = |number| (group.to_owned(), number, String::new());
        let scope = |number| self.file.scopes.get_key_value(&place(number));
        let (place, _) = scope(self.place.1).or_else(|| scope(None))?;
        Some(Case { place, ..*self })
    }

    /// The variant within the case (`rff0`, `sphereC`, `bf16.location`), or nothing.
    pub fn variant(&self) -> &str {
        &self.place.2
    }

    /// As in the files, without the leaf.
    pub fn name(&self) -> String {
        let (group, number, variant) = self.place;
        let number = number.map(|k| format!("case{k}"));
        // The group `case` is its number.
        let group = (group != "case").then(|| group.clone());
        let variant = (!variant.is_empty()).then(|| variant.clone());
        let parts = [Some(self.file.stem.clone()), group, number, variant];
        parts.into_iter().flatten().collect::<Vec<_>>().join(".")
    }

    /// The variant's own tensor, else its case's, its group's, its file's.
    fn find(&self, leaf: &str) -> Option<&Tensor> {
        let (group, number, variant) = self.place;
        let scopes = [
            (group, *number, variant.as_str()),
            (group, *number, ""),
            (group, None, ""),
            (&String::new(), None, ""),
        ];
        scopes.iter().find_map(|(group, number, variant)| {
            self.file.scopes.get(&((*group).clone(), *number, (*variant).to_owned()))?.get(leaf)
        })
    }

    fn get(&self, leaf: &str, dtypes: &[Dtype]) -> Result<&Tensor> {
        let tensor = self.find(leaf).ok_or_else(|| format!("{}: `{leaf}` is missing", self.name()))?;
        if !dtypes.contains(&tensor.dtype) {
            return Err(format!("{}: `{leaf}` is {:?}, not {dtypes:?}", self.name(), tensor.dtype).into());
        }
        Ok(tensor)
    }

    pub fn has(&self, leaf: &str) -> bool {
        self.find(leaf).is_some()
    }

    pub fn shape(&self, leaf: &str) -> Result<&[usize]> {
        let tensor = self.find(leaf).ok_or_else(|| format!("{}: `{leaf}` is missing", self.name()))?;
        Ok(&tensor.shape)
    }

    /// The last axis.
    pub fn width(&self, leaf: &str) -> Result<usize> {
        Ok(self.shape(leaf)?.last().copied().unwrap_or(1))
    }

    /// f64 elements; f32 ones are widened.
    pub fn f64(&self, leaf: &str) -> Result<Vec<f64>> {
        let tensor = self.get(leaf, &[Dtype::F64, Dtype::F32])?;
        Ok(match tensor.dtype {
            Dtype::F64 => bytemuck::pod_collect_to_vec(&tensor.bytes),
            _ => crate::support::wide(&self.f32(leaf)?),
        })
    }

    pub fn f32(&self, leaf: &str) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.get(leaf, &[Dtype::F32])?.bytes))
    }

    pub fn i32(&self, leaf: &str) -> Result<Vec<i32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.get(leaf, &[Dtype::I32])?.bytes))
    }

    pub fn i8(&self, leaf: &str) -> Result<Vec<i8>> {
        Ok(bytemuck::pod_collect_to_vec(&self.get(leaf, &[Dtype::I8])?.bytes))
    }

    pub fn u8(&self, leaf: &str) -> Result<Vec<u8>> {
        Ok(self.get(leaf, &[Dtype::U8])?.bytes.clone())
    }
}

pub mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    /// A file of f32 vectors.
    pub fn file(stem: &str, tensors: &[(&str, &[f32])]) -> GoldenFile {
        let view = |data: &[f32]| {
            let bytes = bytemuck::cast_slice::<f32, u8>(data).to_vec();
            (vec![data.len()], bytes)
        };
        let owned: Vec<_> = tensors.iter().map(|(name, data)| (*name, view(data))).collect();
        let views = owned.iter().map(|(name, (shape, bytes))| {
            (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        GoldenFile::parse(stem, &safetensors::serialize(views, None).unwrap()).unwrap()
    }

    #[test]
    fn a_variant_finds_what_its_case_its_group_and_its_file_share() {
        let file = file(
            "some",
            &[
                ("in.all", &[1.0]),
                ("g.in.group", &[2.0]),
                ("g.case3.in.dim", &[3.0]),
                ("g.case3.in.all", &[4.0]),
                ("g.case3.v.w.out_f32", &[5.0]),
                ("case12.freq", &[6.0]),
                ("case12.v.out.code", &[7.0]),
                ("h.v.out", &[8.0]),
            ],
        );
        assert_eq!(file.groups().into_iter().collect::<Vec<_>>(), ["case", "g", "h"]);
        let [case] = file.cases("g").collect::<Vec<_>>()[..] else { panic!("one case") };
        assert_eq!((case.name().as_str(), case.variant()), ("some.g.case3.v.w", "v.w"));
        let of = |leaf| case.f32(leaf).unwrap()[0];
        assert_eq!([of("in.all"), of("in.group"), of("in.dim"), of("out_f32")], [4.0, 2.0, 3.0, 5.0]);
        assert!(case.i32("in.dim").err().unwrap().to_string().contains("`in.dim` is F32"));
        assert!(case.f32("in.none").err().unwrap().to_string().contains("missing"));
        let [case] = file.cases("case").collect::<Vec<_>>()[..] else { panic!("one case") };
        assert_eq!((case.name().as_str(), case.f64("freq").unwrap()[0]), ("some.case12.v", 6.0));
        assert_eq!(case.f64("in.all").unwrap(), [1.0]);
        let [case] = file.cases("h").collect::<Vec<_>>()[..] else { panic!("one case") };
        assert!(!case.has("in.group"));
        assert_eq!(case.beside("g").unwrap().f32("in.group").unwrap(), [2.0]);
        assert!(case.beside("i").is_none());
    }
}
