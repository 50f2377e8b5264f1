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
use gtca::readout::{Head, Readout, ReadoutDesc};
use gtca::records::{RECORD_WORDS, Record, Records};
use gtca::wgpu;
use safetensors::tensor::SafeTensors;

use super::engine::Chunk;
use super::metadata::Metadata;
use super::source::{BASE, Source};
use super::wrong::{Finder, Wrong, finders};
use crate::Error;
use crate::data::ClimateGrid;
use crate::shards::Shards;
use crate::train::DeviceGrid;

/// Name of the array of embeddings: the pooled input of the adapted layer.
pub const EMBEDDING: &str = "x";

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
    wrong: Vec<(Wrong, Option<Finder>)>,
    grid: Option<DeviceGrid>,
}

impl Factored {
    /// Reads the adapter and the head, and where other places of the table are asked for, all of its rows' metadata.
    ///
    /// # Errors
    /// Files, shards and table that do not fit one another; far places without a climate grid.
    pub fn new(
        gpu: &Gpu,
        metadata: Metadata,
        shards: Shards,
        files: &Files,
        wrong: Vec<Wrong>,
    ) -> Result<Self, Error> {
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
        let lookup = metadata.grid.as_ref().map(ClimateGrid::lookup).transpose()?;
        let finders = finders(&wrong, lookup.as_ref(), || metadata.records())?;
        let map = map(gpu, parameter(&adapter, "layers.0.b_t"), &head_weight(&files.head), classes)?;
        Ok(Self {
            gpu: gpu.clone(),
            map,
            classes,
            layer,
            down: Lora::new(&down)?,
            up: Lora::new(&up)?,
            wrong: wrong.into_iter().zip(finders).collect(),
            grid: lookup.map(|lookup| DeviceGrid::new(gpu, &lookup)),
            adapter,
            metadata,
            shards,
        })
    }

    /// h of embeddings, `[rows, r]`.
    fn hidden(&self, x: &[f32], rows: u32) -> Result<wgpu::Buffer, Error> {
        let LayerDesc { inputs, rank, .. } = self.layer;
        let (x, h) = (self.gpu.upload("x", x), self.gpu.zeros("h", u64::from(rows * rank) * 4));
        let (x, a) = (View::matrix(&x, rows, inputs), parameter(&self.adapter, "layers.0.a"));
        self.gpu.run(|recorder| self.down.hidden(recorder, x, a, View::matrix(&h, rows, rank)))?;
        Ok(h)
    }

    /// Logits under records, and their validity.
    fn logits(&self, part: &Part<'_>, [records, validity]: [View<'_>; 2]) -> Result<Vec<f32>, Error> {
        let (rows, rank) = (part.rows, self.layer.rank);
        let logits = self.gpu.zeros("logits", u64::from(rows * self.classes) * 4);
        let mut encoder = self.gpu.encoder();
        let mut recorder = self.gpu.recorder(&mut encoder);
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
        let records = Records::from_records(&records)?;
        let part = Part {
            rows: count as u32,
            tape: &self.adapter.tape(count as u32, 1),
            base: &self.gpu.upload("base", &without),
            hidden: &self.hidden(&x, count as u32)?,
        };
        let words = self.gpu.upload("records", records.words());
        let recorded = View::matrix(&words, RECORD_WORDS, part.rows).of(Dtype::U32);
        let variant = |(wrong, finder): &(Wrong, Option<Finder>)| -> Result<Vec<f32>, Error> {
            let donors = finder.as_ref().map(|finder| finder.of(&records)).transpose()?;
            let perturbed = wrong.apply(&self.gpu, recorded, donors.as_deref(), self.grid.as_ref())?;
            let mut logits = self.logits(&part, [perturbed.records(), perturbed.validity()])?;
            let of_rows = logits.chunks_exact_mut(self.classes as usize);
            of_rows
                .zip(wrong.is_there(&records, donors.as_deref())?)
                .filter(|(_, is_there)| !is_there)
                .for_each(|(logits, _)| logits.fill(f32::NAN));
            Ok(logits)
        };
        let variants = self.wrong.iter().map(variant).collect::<Result<_, _>>()?;
        let valid = self.gpu.upload("validity", &vec![1.0_f32; count]);
        let base = self.logits(&part, [recorded, View::matrix(&valid, part.rows, 1)])?;
        Ok(Chunk { rows, base, variants, known: None })
    }
}
