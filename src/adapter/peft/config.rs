//! `adapter_config.json`: which modules an adapter targets, at which rank and α.
//!
//! Fields, defaults and the rules of matching are those of `LoraConfig` in PEFT 0.21; what this file does not name is
//! kept and written back.

use super::Problem;
use fancy_regex::Regex;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::marker::PhantomData;

/// PEFT's word for any linear layer.
const ALL_LINEAR: &str = "all-linear";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    peft_type: String,
    pub r: u32,
    pub lora_alpha: Alpha,
    pub use_rslora: bool,
    pub target_modules: Option<Modules>,
    exclude_modules: Option<Modules>,
    layers_to_transform: Option<OneOrMany<u64>>,
    layers_pattern: Option<OneOrMany<String>>,
    pub rank_pattern: Option<Patterns<u32>>,
    pub alpha_pattern: Option<Patterns<Alpha>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peft_type: String::new(),
            r: 8,
            lora_alpha: Alpha(8.0),
            use_rslora: false,
            target_modules: None,
            exclude_modules: None,
            layers_to_transform: None,
            layers_pattern: None,
            rank_pattern: None,
            alpha_pattern: None,
            rest: Map::new(),
        }
    }
}

/// A list of names, each of which also stands for every name that ends in it after a dot; or one regular expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Modules {
    Names(Vec<String>),
    Expression(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// α, written as PEFT writes it: a whole number without a point.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(super) struct Alpha(pub f32);

impl Serialize for Alpha {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let whole = self.0 as i32;
        if whole as f32 == self.0 { to.serialize_i32(whole) } else { to.serialize_f32(self.0) }
    }
}

/// Values by regular expression, in the order of the file: the first that matches counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Patterns<T>(pub Vec<(String, T)>);

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(pattern, value)| (pattern, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;
            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("an object of patterns")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Patterns(all))
            }
        }
        from.deserialize_map(InOrder(PhantomData))
    }
}

/// Fields that change what an adapter computes, and what they stand for. They must be absent, null, false or empty.
const NOT_SUPPORTED: [(&str, &str); 15] = [
    ("use_dora", "DoRA's magnitudes depend on the frozen weight"),
    ("lora_bias", "the files' biases are not read"),
    ("modules_to_save", "whole modules of the base model were trained and are not read"),
    ("trainable_token_indices", "rows of an embedding were trained and are not read"),
    ("target_parameters", "parameters that are not a linear layer's weight are not adapted"),
    ("layer_replication", "layers that exist several times are not told apart"),
    ("fan_in_fan_out", "the frozen weight would be transposed"),
    ("megatron_config", "Megatron's sharded layers are not read"),
    ("use_qalora", "QALoRA pools the input"),
    ("use_bdlora", "block-diagonal matrices are not read"),
    ("alora_invocation_tokens", "the adapter would act on some tokens only"),
    ("arrow_config", "Arrow routes between adapters"),
    ("kasa_config", "KaSA's singular values are not read"),
    ("monteclora_config", "MonteCLoRA's distributions are not read"),
    ("ensure_weight_tying", "tied weights are not read"),
];

/// Values of `init_lora_weights` that also change the frozen weight.
const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

impl Config {
    /// A plain LoRA's, for modules that are named in full.
    pub(super) fn plain(modules: Vec<String>) -> Self {
        let rest = serde_json::json!({
            "base_model_name_or_path": null, "task_type": null, "inference_mode": true, "bias": "none",
            "lora_dropout": 0.0, "fan_in_fan_out": false, "init_lora_weights": true, "modules_to_save": null,
        });
        let rest = if let Value::Object(rest) = rest { rest } else { Map::new() };
        let target_modules = Some(Modules::Names(modules));
        Self { peft_type: "LORA".to_owned(), target_modules, rest, ..Self::default() }
    }

    /// Reads a config and refuses what is more than plain LoRA.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let config: Self = serde_json::from_str(text).map_err(|error| Problem::Syntax(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Problem> {
        let refuse = |field: &str, value: String, because: &'static str| {
            Err(Problem::NotSupported { field: field.to_owned(), value, because })
        };
        if self.peft_type != "LORA" {
            return refuse("peft_type", format!("{:?}", self.peft_type), "only LORA is read");
        }
        if self.target_modules.is_none() {
            return refuse("target_modules", "absent".to_owned(), "what is adapted must be named");
        }
        for (field, because) in NOT_SUPPORTED {
            if let Some(value) = self.rest.get(field).filter(|value| !is_off(value)) {
                return refuse(field, value.to_string(), because);
            }
        }
        if let Some(bias) = self.rest.get("bias").filter(|bias| *bias != "none" && !is_off(bias)) {
            return refuse(
                "bias",
                bias.to_string(),
                "biases of the base model were trained and are not read",
            );
        }
        let init = self.rest.get("init_lora_weights").and_then(Value::as_str).unwrap_or("").to_lowercase();
        if CHANGES_BASE.iter().any(|changes| init.starts_with(changes)) {
            let because = "the frozen weight was changed when training began; save it from PEFT with \
                           path_initial_model_for_weight_conversion";
            return refuse("init_lora_weights", format!("{init:?}"), because);
        }
        Ok(())
    }

    /// The file's text.
    pub(super) fn text(&self) -> Result<String, Problem> {
        serde_json::to_string_pretty(self).map_err(|error| Problem::Syntax(error.to_string()))
    }

    /// The rules for modules' names, ready to be asked.
    pub(super) fn rules(&self) -> Result<Rules<'_>, Problem> {
        let whole = |field: &'static str, modules: &Option<Modules>| match modules {
            Some(Modules::Expression(text)) => Expression::new(field, &format!(r"\A(?:{text})\z")).map(Some),
            _ => Ok(None),
        };
        let layers = match self.layers_pattern.as_ref().map_or(&[][..], OneOrMany::as_slice) {
            [] => vec![r"\A.*?\.[^.]*\.(?P<idx>\d+)\.".to_owned()],
            names => names.iter().map(|name| format!(r"\A(?:|.*?\.){name}\.(?P<idx>\d+)\.")).collect(),
        };
        Ok(Rules {
            config: self,
            targets: whole("target_modules", &self.target_modules)?,
            excluded: whole("exclude_modules", &self.exclude_modules)?,
            layers: layers
                .iter()
                .map(|text| Expression::new("layers_pattern", text))
                .collect::<Result<_, _>>()?,
            ranks: compiled("rank_pattern", self.rank_pattern.as_ref())?,
            alphas: compiled("alpha_pattern", self.alpha_pattern.as_ref())?,
        })
    }
}

/// What a config says of modules, its expressions compiled once.
pub(super) struct Rules<'c> {
    config: &'c Config,
    targets: Option<Expression>,
    excluded: Option<Expression>,
    layers: Vec<Expression>,
    ranks: Vec<Pattern<'c, u32>>,
    alphas: Vec<Pattern<'c, Alpha>>,
}

/// A pattern's text, what it matches, and the value that it gives.
type Pattern<'c, T> = (&'c str, Expression, T);

impl Rules<'_> {
    /// Whether a module of the base model is adapted.
    pub(super) fn targets(&self, module: &str) -> Result<bool, Problem> {
        let contain = |modules: &Option<Modules>, expression: &Option<Expression>| match (modules, expression)
        {
            (_, Some(expression)) => expression.is_match(module),
            (Some(Modules::Names(names)), _) => Ok(names.iter().any(|name| ends_in(module, name))),
            _ => Ok(false),
        };
        if contain(&self.config.exclude_modules, &self.excluded)? {
            return Ok(false);
        }
        match &self.config.target_modules {
            Some(Modules::Expression(all)) if all.eq_ignore_ascii_case(ALL_LINEAR) => Ok(true),
            // A name in full is adapted in whatever layer it is.
            Some(Modules::Names(names)) if names.iter().any(|name| name == module) => Ok(true),
            modules => Ok(contain(modules, &self.targets)? && self.transforms_layer_of(module)?),
        }
    }

    /// Whether `layers_to_transform` holds the index of the module's layer: the first number that follows a name, or that
    /// follows one of `layers_pattern`.
    fn transforms_layer_of(&self, module: &str) -> Result<bool, Problem> {
        let wanted = match &self.config.layers_to_transform {
            None => return Ok(true),
            Some(OneOrMany::Many(none)) if none.is_empty() => return Ok(true),
            Some(wanted) => wanted.as_slice(),
        };
        for layer in &self.layers {
            if let Some(index) = layer.index(module)? {
                return Ok(wanted.contains(&index));
            }
        }
        Ok(false)
    }

    /// A module's rank.
    pub(super) fn rank(&self, module: &str) -> Result<u32, Problem> {
        Ok(first_match(&self.ranks, module)?.unwrap_or(self.config.r))
    }

    /// A module's α.
    pub(super) fn alpha(&self, module: &str) -> Result<f32, Problem> {
        Ok(first_match(&self.alphas, module)?.unwrap_or(self.config.lora_alpha).0)
    }
}

/// A regular expression of a field.
struct Expression {
    field: &'static str,
    regex: Regex,
}

impl Expression {
    fn new(field: &'static str, text: &str) -> Result<Self, Problem> {
        match Regex::new(text) {
            Ok(regex) => Ok(Self { field, regex }),
            Err(error) => Err(unusable(field, text, &error)),
        }
    }

    fn is_match(&self, module: &str) -> Result<bool, Problem> {
        self.regex.is_match(module).map_err(|error| unusable(self.field, self.regex.as_str(), &error))
    }

    /// The number in the group `idx`.
    fn index(&self, module: &str) -> Result<Option<u64>, Problem> {
        let found = self.regex.captures(module);
        let found = found.map_err(|error| unusable(self.field, self.regex.as_str(), &error))?;
        Ok(found.and_then(|found| found.name("idx")?.as_str().parse().ok()))
    }
}

fn unusable(field: &'static str, expression: &str, error: &fancy_regex::Error) -> Problem {
    Problem::Expression { field, expression: expression.to_owned(), message: error.to_string() }
}

/// A pattern stands for a whole name or for all that follows one of its dots.
fn compiled<'c, T: Copy>(
    field: &'static str,
    patterns: Option<&'c Patterns<T>>,
) -> Result<Vec<Pattern<'c, T>>, Problem> {
    let patterns = patterns.map_or(&[][..], |patterns| &patterns.0).iter();
    let compile = |(text, value): &'c (String, T)| {
        Ok((text.as_str(), Expression::new(field, &format!(r"\A(.*\.)?({text})\z"))?, *value))
    };
    patterns.map(compile).collect()
}

/// The value of the first pattern that matches.
fn first_match<T: Copy>(patterns: &[Pattern<'_, T>], module: &str) -> Result<Option<T>, Problem> {
    for (_, expression, value) in patterns {
        if expression.is_match(module)? {
            return Ok(Some(*value));
        }
    }
    // PEFT then looks the name up as it is.
    Ok(patterns.iter().find(|(text, ..)| *text == module).map(|(.., value)| *value))
}

/// Whether a module's name is this one, or ends in it after a dot.
fn ends_in(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A pattern that matches one module's name alone.
pub(super) fn exactly(module: &str) -> String {
    format!("^{}$", fancy_regex::escape(module))
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(fields: &str) -> Config {
        Config::parse(&format!(r#"{{"peft_type": "LORA", {fields}}}"#)).unwrap()
    }

    // What PEFT 0.21.2's own `get_pattern_key` and `check_target_module_exists` answer.
    #[test]
    fn a_pattern_matches_a_name_or_what_follows_a_dot() {
        let config = config(
            r#""target_modules": ["q"], "r": 1, "rank_pattern":
               {"^q": 2, "blocks.\\d+.k": 3, "k": 4, "blocks.0.(q|v)": 5, "v": 6}"#,
        );
        let ranks = [
            ("q", 2),
            ("a.q", 1),
            ("blocks.11.k", 3),
            ("model.blocks.1.k", 3),
            ("xblocks.1.k", 4),
            ("a.k", 4),
            ("a_k", 1),
            ("blocks.0.v", 5),
            ("blocks.1.v", 6),
            ("blocks.1.v.x", 1),
        ];
        for (module, rank) in ranks {
            assert_eq!(config.rules().unwrap().rank(module), Ok(rank), "{module}");
        }
    }

    #[test]
    fn the_first_pattern_of_the_file_counts() {
        let config = config(r#""target_modules": ["q"], "alpha_pattern": {"q": 3.5, "a.q": 7}"#);
        assert_eq!(config.rules().unwrap().alpha("a.q"), Ok(3.5));
        assert!(config.text().unwrap().contains(r#""q": 3.5"#));
    }

    #[test]
    fn names_are_suffixes_and_expressions_match_whole_names() {
        let names = config(r#""target_modules": ["q", "blocks.0.fc"], "exclude_modules": ["blocks.2.q"]"#);
        let expected =
            [("q", true), ("a.q", true), ("a.xq", false), ("m.blocks.0.fc", true), ("blocks.2.q", false)];
        for (module, targeted) in expected {
            assert_eq!(names.rules().unwrap().targets(module), Ok(targeted), "{module}");
        }
        let expression = config(r#""target_modules": "(?!.*visual).*\\.(q|v)""#);
        for (module, targeted) in [("a.q", true), ("visual.q", false), ("a.q.x", false), ("q", false)] {
            assert_eq!(expression.rules().unwrap().targets(module), Ok(targeted), "{module}");
        }
    }

    #[test]
    fn layers_are_chosen_by_their_first_index() {
        let any = config(r#""target_modules": ["q"], "layers_to_transform": [1]"#);
        for (module, targeted) in
            [("m.h.1.q", true), ("m.h.1.experts.0.q", true), ("m.h.0.q", false), ("h.1.q", false)]
        {
            assert_eq!(any.rules().unwrap().targets(module), Ok(targeted), "{module}");
        }
        let named = config(r#""target_modules": ["q"], "layers_to_transform": 1, "layers_pattern": ["h"]"#);
        for (module, targeted) in [("h.1.q", true), ("m.h.1.q", true), ("m.g.1.q", false)] {
            assert_eq!(named.rules().unwrap().targets(module), Ok(targeted), "{module}");
        }
    }

    #[test]
    fn a_pattern_for_one_name_matches_no_other() {
        let plain = |name: &str| Config {
            rank_pattern: Some(Patterns(vec![(exactly(name), 3)])),
            ..Config::plain(Vec::new())
        };
        let rank = |name: &str, module: &str| plain(name).rules().unwrap().rank(module).unwrap();
        assert_eq!(rank("blocks.0.q+1", "blocks.0.q+1"), 3);
        assert_eq!([rank("q", "a.q"), rank("a.q", "axq")], [8, 8]);
    }
}
