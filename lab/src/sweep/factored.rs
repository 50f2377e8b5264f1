//! Logits from embeddings and an adapter: the factored path of `gtca::sensitivity`.
//!
//! The adapter sits in the last layer, its gate is per sample, pooling and head are linear. Then
//! `logits_k = base + s · Σ_r g_k[r] · h[r] · M[r, ·]` with `h = x·Aᵀ` and `M = Bᵀ·W_headᵀ`: all that differs between
//! perturbations is the gate. That is an injection too, of M into the base logits, so `gtca::lora` delivers the logits of each
//! perturbation from one h.

use gtca::adapter::{AdapterDesc, Condition, GtcaAdapter, LayerDesc, Tape};
use gtca::encode::{IdTables, Plan};
use gtca::gate::Mu;
use gtca::gpu::{Dtype, Gpu, Knob, View};
use gtca::lora::{Deliver, Lora, LoraDesc};
use gtca::perturb::{self, Bearing, Distance, Perturb, PerturbDesc, Perturbation};
use gtca::readout::{Head, Readout, ReadoutDesc};
use gtca::records::{Fields, RECORD_WORDS, Record, Records};
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
    /// M, `[r, classes]`.
    map: wgpu::Buffer,
    classes: u32,
    layer: LayerDesc,
    /// x to h.
    down: Lora,
    /// h, under gates, to logits.
    up: Lora,
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
        let [down, up] = [desc.lora(&layer), LoraDesc { outputs: classes, ..desc.lora(&layer) }];
        let map = map(gpu, parameter(&adapter, "layers.0.b_t"), &head_weight(&files.head), classes)?;
        Ok(Self {
            gpu: gpu.clone(),
            map,
            classes,
            layer,
            down: Lora::new(&down)?,
            up: Lora::new(&up)?,
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
    fn hidden(&self, x: &[f32], rows: u32) -> Result<wgpu::Buffer, Error> {
        let LayerDesc { inputs, rank, .. } = self.layer;
        let (x, h) = (self.gpu.upload("x", x), self.gpu.zeros("h", u64::from(rows * rank) * 4));
        let (x, a) = (View::matrix(&x, rows, inputs), parameter(&self.adapter, "layers.0.a"));
        self.gpu.run(|recorder| self.down.hidden(recorder, x, a, View::matrix(&h, rows, rank)))?;
        Ok(h)
    }

    /// Logits under the records of `k`, or under the recorded.
    fn logits(&self, part: &Part<'_>, k: Option<usize>) -> Result<Vec<f32>, Error> {
        let (rows, rank) = (part.rows, self.layer.rank);
        let view = View::matrix(part.records, RECORD_WORDS, rows).of(Dtype::U32);
        let wrong = Perturbed::new(&self.gpu, rows);
        let valid = self.gpu.upload("validity", &vec![1.0_f32; rows as usize]);
        let logits = self.gpu.zeros("logits", u64::from(rows * self.classes) * 4);
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
        self.adapter.condition(&mut recorder, part.tape, &Condition { records, validity, mu })?;
        let gates = part.tape.gates();
        let out = View::matrix(&logits, rows, self.classes);
        let args = Deliver {
            y: View::matrix(part.base, rows, self.classes),
            h: View::matrix(part.hidden, rows, rank),
            b_t: View::matrix(&self.map, rank, self.classes),
            bias: None,
            gates: View { shape: [1, rows, rank], row_stride: gates.sample_stride, ..gates },
            lambda: Knob::Host(1.0),
            out,
        };
        self.up.deliver(&mut recorder, &args)?;
        drop(recorder);
        self.gpu.submit(encoder)?;
        Ok(self.gpu.read_f32_blocking(&out)?)
    }
}

/// Rows on the device.
struct Part<'a> {
    rows: u32,
    tape: &'a Tape,
    records: &'a wgpu::Buffer,
    /// Logits without the adapter.
    base: &'a wgpu::Buffer,
    hidden: &'a wgpu::Buffer,
}

/// A parameter of the adapter, every one of which has a first layer.
fn parameter<'a>(adapter: &'a GtcaAdapter, name: &str) -> View<'a> {
    let parameter = adapter.parameters().find(|parameter| parameter.name == name);
    adapter.value(parameter.expect("an adapter has a first layer"))
}

/// The head's matrix, whose shape has been read already.
fn head_weight(file: &[u8]) -> Vec<f32> {
    let file = SafeTensors::deserialize(file).ok();
    let bytes = file.and_then(|file| Some(file.tensor("weight").ok()?.data().to_vec())).unwrap_or_default();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// M = Bᵀ·W_headᵀ.
fn map(gpu: &Gpu, b_t: View<'_>, weight: &[f32], classes: u32) -> Result<wgpu::Buffer, Error> {
    let (rank, width) = (b_t.rows() as u32, b_t.width());
    let (weight, map) = (gpu.upload("head", weight), gpu.zeros("map", u64::from(rank * classes) * 4));
    let readout = Readout::new(&ReadoutDesc { width, classes, ..Default::default() })?;
    let (weight, logits) = (View::matrix(&weight, classes, width), View::matrix(&map, rank, classes));
    gpu.run(|recorder| readout.head(recorder, &Head { x: b_t, weight, bias: None, logits }))?;
    Ok(map)
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
        let records: Vec<Record> = rows.iter().map(|row| row.record).collect();
        let words = self.gpu.upload("records", Records::from_records(&records)?.words());
        let part = Part {
            rows: count as u32,
            tape: &self.adapter.tape(count as u32, 1),
            records: &words,
            base: &self.gpu.upload("base", &without),
            hidden: &self.hidden(&x, count as u32)?,
        };
        let variant = |(k, (_, wrong)): (usize, &(String, Perturbation))| -> Result<Vec<f32>, Error> {
            let mut logits = self.logits(&part, Some(k))?;
            let of_rows = logits.chunks_exact_mut(self.classes as usize);
            of_rows
                .zip(&records)
                .filter(|(_, record)| !applies(wrong, record))
                .for_each(|(logits, _)| logits.fill(f32::NAN));
            Ok(logits)
        };
        let variants = self.wrong.iter().enumerate().map(variant).collect::<Result<_, _>>()?;
        Ok(Chunk { rows, base: self.logits(&part, None)?, variants, known: None })
    }
}
