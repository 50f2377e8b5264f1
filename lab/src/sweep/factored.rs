//! Logits from embeddings and an adapter: the factored path of `gtca::sensitivity`.
//!
//! The adapter sits in the last layer, its gate is per sample, pooling and head are linear. Then
//! `logits_k = base + s · Σ_r g_k[r] · h[r] · M[r, ·]` with `h = x·Aᵀ` and `M = Bᵀ·W_headᵀ`: all that differs between
//! perturbations is the gate.

use gtca::adapter::{AdapterDesc, Condition, GtcaAdapter, LayerDesc, Tape};
use gtca::encode::{IdTables, Plan};
use gtca::gate::Mu;
use gtca::gpu::{Dtype, Gpu, Knob, View};
use gtca::linear::{Forward, Linear, LinearDesc};
use gtca::perturb::{self, Bearing, Distance, Perturb, PerturbDesc, Perturbation};
use gtca::records::{Fields, RECORD_WORDS, Record, Records};
use gtca::sensitivity::twin;
use gtca::wgpu;
use safetensors::tensor::SafeTensors;

use super::engine::Chunk;
use super::metadata::Metadata;
use super::source::{BASE, Source};
use crate::Error;
use crate::shards::Shards;
use crate::train::Perturbed;

/// Name of the array of embeddings: the pooled input of the adapted layer.
pub const EMBEDDING: &str = "x";
/// Seed of the random bearings: the same for every model.
const SEED: u64 = 1;

/// An adapter of one layer with the head behind it.
#[derive(Clone, Debug)]
pub struct Files {
    /// The adapter's file.
    pub adapter: Vec<u8>,
    /// The head's file: `weight`, f32 `[classes, outputs]`.
    pub head: Vec<u8>,
    /// α; the scale is α/r.
    pub alpha: f32,
    /// Size of the adapter's table of climate zones; 0: it has none.
    pub climate_zones: u32,
}

/// A source that makes logits.
#[derive(Debug)]
pub struct Factored {
    gpu: Gpu,
    metadata: Metadata,
    shards: Shards,
    adapter: GtcaAdapter,
    scale: f32,
    /// `[r, classes]`.
    map: Vec<f32>,
    classes: usize,
    layer: LayerDesc,
    wrong: Vec<(String, Perturbation)>,
}

/// The wrong metadata of this source.
fn perturbations() -> Vec<(String, Perturbation)> {
    let displace = |km| Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Random };
    let shift = |months: i32| {
        let sign = if months < 0 { '−' } else { '+' };
        (format!("{sign}{} months", months.abs()), Perturbation::ShiftMonths { months })
    };
    let mut all: Vec<_> = [10.0, 100.0, 1000.0].map(|km| (format!("{km} km"), displace(km))).into();
    all.extend([-6, -3, 3, 6].map(shift));
    all.push(("missing".to_owned(), Perturbation::Drop { fields: Fields::METADATA }));
    all
}

/// Whether the record has what the perturbation changes.
fn applies(perturbation: &Perturbation, record: &Record) -> bool {
    match perturbation {
        Perturbation::Displace { .. } => record.lat_deg.is_some() && record.lon_deg.is_some(),
        Perturbation::ShiftMonths { .. } => record.month.is_some(),
        _ => true,
    }
}

impl Factored {
    /// Reads the adapter and the head.
    ///
    /// # Errors
    /// Files, shards and table that do not fit one another.
    pub fn new(gpu: &Gpu, metadata: Metadata, shards: Shards, files: &Files) -> Result<Self, Error> {
        let refuse = |argument: &str| {
            let argument = argument.to_owned();
            move |rule: String| Error::argument(&argument, rule)
        };
        let shape = |file: &[u8], name: &str| -> Result<[u32; 2], String> {
            let file = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
            let tensor = file.tensor(name).map_err(|_| format!("there is no tensor {name}"))?;
            <[usize; 2]>::try_from(tensor.shape())
                .map(|shape| shape.map(|n| n as u32))
                .map_err(|_| format!("{name} must be a matrix"))
        };
        let of_adapter = |name| shape(&files.adapter, name).map_err(refuse("--adapter"));
        let ([rank, inputs], [outputs, _]) = (of_adapter("layers.0.a")?, of_adapter("layers.0.b")?);
        let [hidden, _] = of_adapter("gate.w1")?;
        let layer = LayerDesc { inputs, outputs, rank, alpha: None };
        let desc = AdapterDesc { layers: vec![layer], hidden, alpha: files.alpha, ..Default::default() };
        let tables = IdTables { climate_zone: files.climate_zones, ..Default::default() };
        let adapter = GtcaAdapter::new(gpu, Plan::gtca(&tables)?, &desc, 0)?;
        adapter.load(&files.adapter)?;
        let [classes, width] = shape(&files.head, "weight").map_err(refuse("--head"))?;
        for (what, found, wanted) in [
            ("--head: width of `weight`", Some(width as usize), outputs as usize),
            ("--shards: width of `x`", shards.array(EMBEDDING).map(|array| array.1), inputs as usize),
            ("--shards: width of `base`", shards.array(BASE).map(|array| array.1), classes as usize),
        ] {
            if found != Some(wanted) {
                return Err(Error::argument(what, format!("{found:?} is given, the rest needs {wanted}")));
            }
        }
        if metadata.rows != shards.rows() {
            let rule = format!("the table has {} rows, the shards {}", metadata.rows, shards.rows());
            return Err(Error::argument("--metadata", rule));
        }
        let tensor = |file: &[u8], name: &str| -> Vec<f32> {
            let file = SafeTensors::deserialize(file).ok();
            let bytes =
                file.and_then(|file| Some(file.tensor(name).ok()?.data().to_vec())).unwrap_or_default();
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let (b, weight) = (tensor(&files.adapter, "layers.0.b"), tensor(&files.head, "weight"));
        let (rank, outputs) = (rank as usize, outputs as usize);
        let product = |r: usize, c: usize| {
            (0..outputs).map(|o| f64::from(b[o * rank + r]) * f64::from(weight[c * outputs + o])).sum::<f64>()
                as f32
        };
        let map =
            (0..rank).flat_map(|r| (0..classes as usize).map(move |c| (r, c))).map(|(r, c)| product(r, c));
        Ok(Self {
            gpu: gpu.clone(),
            scale: files.alpha / rank as f32,
            map: map.collect(),
            classes: classes as usize,
            layer,
            wrong: perturbations(),
            adapter,
            metadata,
            shards,
        })
    }

    /// Names of the wrong metadata.
    pub fn names() -> Vec<String> {
        perturbations().into_iter().map(|(name, _)| name).collect()
    }

    /// h of embeddings, `[rows, r]`.
    fn hidden(&self, x: &[f32], rows: u32) -> Result<Vec<f32>, Error> {
        let LayerDesc { inputs, rank, .. } = self.layer;
        let (x, h) = (self.gpu.upload("x", x), self.gpu.zeros("h", u64::from(rows * rank) * 4));
        let a = self.adapter.parameters().find(|parameter| parameter.name == "layers.0.a");
        let weight = self.adapter.value(a.expect("an adapter has a first layer"));
        let y = View::matrix(&h, rows, rank);
        let mut encoder = self.gpu.encoder();
        let op = Linear::new(&LinearDesc { inputs, outputs: rank, ..Default::default() })?;
        let args = Forward { x: View::matrix(&x, rows, inputs), weight, bias: None, pre: None, y };
        op.forward(&mut self.gpu.recorder(&mut encoder), &args)?;
        self.gpu.submit(encoder)?;
        Ok(self.gpu.read_f32_blocking(&y)?)
    }

    /// Gates under the records of `k`, or under the recorded.
    fn gates(
        &self,
        tape: &Tape,
        records: &wgpu::Buffer,
        rows: u32,
        k: Option<usize>,
    ) -> Result<Vec<f32>, Error> {
        let view = View::matrix(records, RECORD_WORDS, rows).of(Dtype::U32);
        let wrong = Perturbed::new(&self.gpu, rows);
        let valid = self.gpu.upload("validity", &vec![1.0_f32; rows as usize]);
        let mut encoder = self.gpu.encoder();
        let mut recorder = self.gpu.recorder(&mut encoder);
        let (records, validity) = match k {
            None => (view, View::matrix(&valid, rows, 1)),
            Some(k) => {
                let (out, v, step) = (wrong.records(), wrong.validity(), k as u32);
                let args =
                    perturb::Args { records: view, out, v, donors: None, lookup: None, status: None, step };
                let desc = PerturbDesc { parts: &[self.wrong[k].1], seed: SEED };
                Perturb::new(&desc)?.record(&mut recorder, &args)?;
                (out, v)
            }
        };
        let mu = Mu::Knob(Knob::Host(1.0));
        self.adapter.condition(&mut recorder, tape, &Condition { records, validity, mu })?;
        drop(recorder);
        self.gpu.submit(encoder)?;
        Ok(self.gpu.read_f32_blocking(&tape.gates())?)
    }
}

impl Source for Factored {
    fn rows(&self) -> u64 {
        self.metadata.rows
    }

    fn chunk(&mut self, from: u64, count: usize) -> Result<Chunk, Error> {
        let rows = self.metadata.read(from, count)?;
        let mut arrays = self.shards.read(from, count)?;
        let at = |name| self.shards.array(name).map_or(0, |array| array.0);
        let [x, without] = [EMBEDDING, BASE].map(|name| std::mem::take(&mut arrays[at(name)]));
        let hidden = self.hidden(&x, count as u32)?;
        let records: Vec<Record> = rows.iter().map(|row| row.record).collect();
        let words = self.gpu.upload("records", Records::from_records(&records)?.words());
        let (tape, rank, width) =
            (self.adapter.tape(count as u32, 1), self.layer.rank as usize, self.classes);
        let logits = |k: Option<usize>| -> Result<Vec<f32>, Error> {
            let gates = self.gates(&tape, &words, count as u32, k)?;
            let row = |i: usize| {
                let (gate, hidden) = (&gates[i * rank..][..rank], &hidden[i * rank..][..rank]);
                let is_there = k.is_none_or(|k| applies(&self.wrong[k].1, &records[i]));
                match is_there {
                    true => twin::factored(
                        &without[i * width..][..width],
                        gate,
                        hidden,
                        &self.map,
                        1.0,
                        self.scale,
                    ),
                    false => vec![f32::NAN; width],
                }
            };
            Ok((0..count).flat_map(row).collect())
        };
        let base = logits(None)?;
        let variants = (0..self.wrong.len()).map(|k| logits(Some(k))).collect::<Result<_, _>>()?;
        Ok(Chunk { rows, base, variants, known: None })
    }
}
