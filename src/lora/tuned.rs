//! Families chosen by measuring, remembered in a file.

use super::{Backward, Family, Forward, Gate, Lora, LoraDesc, OP, class};
use crate::gpu::{Dtype, Gpu, Knob, Mode, Recorder, View};
use crate::{Error, NUMERICS_VERSION};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Version of the file's layout.
const FORMAT_VERSION: u32 = 1;
/// Rows that are measured, whatever the batch will be: a choice that minded rows would break batch invariance.
const ROWS: u32 = 4_096;
/// Rows of wide layers are fewer, so that x and y take no more each.
const MAX_BYTES: u64 = 64 << 20;
/// Times that each family is measured, in turn with the others, after one call that compiles.
const ROUNDS: u32 = 5;
/// What another family must take of the default's time to be chosen: noise alone chooses nothing.
const CLEARLY: f64 = 0.97;

/// What a layer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Type of x and y.
    pub dtype: Dtype,
    /// Whether the gradients of x, A and B are computed too.
    pub backward: bool,
}

/// Forward and backward on f32 rows.
impl Default for Workload {
    fn default() -> Self {
        Self { dtype: Dtype::F32, backward: true }
    }
}

/// Choices of [`Family`] that were measured, by adapter, driver, shape and workload.
///
/// Nothing asks for it by itself: an embedder measures once where layers are made, keeps the file, and sets
/// [`LoraDesc::family`]. Families order sums differently, so a choice belongs to the numerics of what is trained with it, as
/// [`crate::adapter::Numerics`] tells. The file is lines of text, sorted: one choice each, its fields separated by tabs.
///
/// ```no_run
/// use gtca::lora::{LoraDesc, Tuned, Workload};
/// # fn f(gpu: &gtca::gpu::Gpu) -> Result<(), gtca::Error> {
/// let path = std::path::Path::new("lora-variants.txt");
/// let mut tuned = Tuned::load(path)?;
/// let desc = LoraDesc { inputs: 768, outputs: 768, rank: 16, ..Default::default() };
/// let family = tuned.measure(gpu, &desc, Workload::default())?;
/// tuned.save(path)?;
/// let desc = LoraDesc { family: Some(family), ..desc };
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuned {
    choices: BTreeMap<String, Family>,
}

impl Tuned {
    /// Reads a file of [`Tuned::save`]; a file that is not there holds no choice.
    ///
    /// # Errors
    /// [`Error::File`]: the file cannot be read, is none of ours, is damaged, or was measured with kernels that order sums in
    /// another way.
    pub fn load(path: &Path) -> Result<Self, Error> {
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&bytes).map_err(|problem| refuse(path, problem, AGAIN)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(refuse(path, error.to_string(), "make it readable or name another")),
        }
    }

    /// Replaces the file as a whole: a reader sees all choices or the former ones.
    ///
    /// # Errors
    /// [`Error::File`]: the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let lines = self.choices.iter().map(|(key, family)| format!("{key}\t{family}\n"));
        let text: String = std::iter::once(header() + "\n").chain(lines).collect();
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)).map_err(|error| {
            // What is left of a failed attempt is in nobody's way but its folder's.
            let _ = std::fs::remove_file(&beside);
            refuse(path, error.to_string(), "name a file in a folder that can be written")
        })
    }

    /// The choice for a layer on this device, if it was measured; measures nothing.
    pub fn choice(&self, gpu: &Gpu, desc: &LoraDesc, workload: Workload) -> Option<Family> {
        let choice = self.choices.get(&key(gpu, desc, workload)).copied();
        // The same adapter may be opened with fewer features.
        choice.filter(|family| family.runs_on(gpu))
    }

    /// The choice for a layer on this device, measured now if it was not before: every family that runs is timed in turn by
    /// the wall clock, and the fastest is chosen, the default unless another is at least 3 % faster. Submits, waits, and
    /// takes some 200 MiB and a second.
    ///
    /// # Errors
    /// What [`Lora::new`] and the device refuse.
    pub fn measure(&mut self, gpu: &Gpu, desc: &LoraDesc, workload: Workload) -> Result<Family, Error> {
        if let Some(known) = self.choice(gpu, desc, workload) {
            return Ok(known);
        }
        let bench = Bench::new(gpu, desc, workload)?;
        self.measure_by(gpu, desc, workload, |family| bench.time(family))
    }

    /// As [`Tuned::measure`], always, by the caller's own clock: `time` runs the layer once on a family and tells how long
    /// it took. Of each family the first call does not count.
    ///
    /// # Errors
    /// What `time` refuses.
    pub fn measure_by(
        &mut self,
        gpu: &Gpu,
        desc: &LoraDesc,
        workload: Workload,
        mut time: impl FnMut(Family) -> Result<Duration, Error>,
    ) -> Result<Family, Error> {
        let default = Family::of(gpu);
        let others = Family::ALL.into_iter().filter(|family| *family != default && family.runs_on(gpu));
        let mut best: Vec<(Family, Duration)> =
            std::iter::once(default).chain(others).map(|family| (family, Duration::MAX)).collect();
        for round in 0..=ROUNDS {
            for (family, least) in &mut best {
                let took = time(*family)?;
                *least = if round == 0 { *least } else { took.min(*least) };
            }
        }
        let limit = best[0].1.mul_f64(CLEARLY);
        let faster = best[1..].iter().filter(|(_, took)| *took <= limit).min_by_key(|(_, took)| *took);
        let family = faster.map_or(default, |(family, _)| *family);
        self.choices.insert(key(gpu, desc, workload), family);
        Ok(family)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if first != header() {
            return Err(format!("its first line is {first:?}, not {:?}", header()));
        }
        if !text.ends_with('\n') {
            return Err("its last line has no end".to_owned());
        }
        let choice = |(at, line): (usize, &str)| {
            let wrong = || format!("line {} is {line:?}", at + 2);
            let (key, family) = line.rsplit_once('\t').ok_or_else(wrong)?;
            let family = Family::ALL.into_iter().find(|known| known.name() == family).ok_or_else(wrong)?;
            if key.split('\t').count() != FIELDS { Err(wrong()) } else { Ok((key.to_owned(), family)) }
        };
        Ok(Self { choices: lines.enumerate().map(choice).collect::<Result<_, String>>()? })
    }
}

const AGAIN: &str = "delete it and measure again";

fn header() -> String {
    format!("gtca lora variants, format {FORMAT_VERSION}, numerics {NUMERICS_VERSION}")
}

fn refuse(path: &Path, problem: String, remedy: &'static str) -> Error {
    Error::File { file: path.display().to_string(), problem, remedy }
}

/// Fields of a key.
const FIELDS: usize = 9;

/// What a choice holds for. Ranks of one class run in the same kernels.
fn key(gpu: &Gpu, desc: &LoraDesc, workload: Workload) -> String {
    let info = gpu.info();
    let word = |text: &str| text.replace(['\t', '\n', '\r'], " ");
    let fields: [String; FIELDS] = [
        word(&info.name),
        format!("{:?}", info.backend),
        word(&info.driver),
        word(&info.driver_info),
        desc.inputs.to_string(),
        desc.outputs.to_string(),
        class(desc.rank).to_string(),
        format!("{:?}", workload.dtype),
        if workload.backward { "forward and backward" } else { "forward" }.to_owned(),
    ];
    fields.join("\t")
}

/// A layer's buffers for measuring.
struct Bench<'g> {
    gpu: &'g Gpu,
    desc: LoraDesc,
    workload: Workload,
    rows: u32,
    /// x, y, dx, A, B and their gradients; what they hold does not matter.
    buffers: [wgpu::Buffer; 7],
}

impl<'g> Bench<'g> {
    fn new(gpu: &'g Gpu, desc: &LoraDesc, workload: Workload) -> Result<Self, Error> {
        Lora::new(desc)?;
        if !matches!(workload.dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16) {
            let value = format!("{:?}", workload.dtype);
            return Err(Error::argument(OP, "dtype", value, "F32, F16 or Bf16 is required", "name one"));
        }
        let LoraDesc { inputs, outputs, rank, .. } = *desc;
        let most = MAX_BYTES / 4 / u64::from(inputs.max(outputs));
        let rows = ROWS.min(most as u32);
        let size = |[rows, width]: [u32; 2]| u64::from(rows) * u64::from(width.next_multiple_of(2)) * 4;
        let shapes = [
            [rows, inputs],
            [rows, outputs],
            [rows, inputs],
            [rank, inputs],
            [rank, outputs],
            [rank, inputs],
            [rank, outputs],
        ];
        let buffers = shapes.map(|shape| gpu.zeros("lora tuner", size(shape)));
        Ok(Self { gpu, desc: *desc, workload, rows, buffers })
    }

    fn record(&self, recorder: &mut Recorder<'_>, family: Family) -> Result<(), Error> {
        let LoraDesc { inputs, outputs, rank, .. } = self.desc;
        let lora = Lora::new(&LoraDesc { family: Some(family), ..self.desc })?;
        let [x, y, dx, a, b_t, da, db_t] = &self.buffers;
        let rows = |buffer, width: u32| {
            let stride = width.next_multiple_of(2);
            View::matrix(buffer, self.rows, width).strided(stride, stride).of(self.workload.dtype)
        };
        let (x, y, dx) = (rows(x, inputs), rows(y, outputs), rows(dx, inputs));
        let [a, da] = [a, da].map(|buffer| View::matrix(buffer, rank, inputs));
        let [b_t, db_t] = [b_t, db_t].map(|buffer| View::matrix(buffer, rank, outputs));
        let (gate, lambda, bias, dropout, h) = (Gate::None, Knob::Host(1.0), None, None, None);
        lora.forward(recorder, &Forward { x, a, b_t, bias, gate, lambda, dropout, y, out: None, h })?;
        if !self.workload.backward {
            return Ok(());
        }
        let args = Backward {
            x,
            dy: y,
            a,
            b_t,
            bias,
            gate,
            lambda,
            dropout,
            h,
            u: None,
            dx: Some(dx),
            da: Some(da),
            db_t: Some(db_t),
            dbias: None,
            dgate: None,
            dlambda: None,
            dx_mode: Mode::Accumulate,
            parameter_mode: Mode::Overwrite,
            condition_mode: Mode::Overwrite,
        };
        lora.backward(recorder, &args)
    }

    /// One submission, from handing it over to its end.
    fn time(&self, family: Family) -> Result<Duration, Error> {
        let mut commands = self.gpu.encoder();
        self.record(&mut self.gpu.recorder(&mut commands), family)?;
        let start = Instant::now();
        let submission = self.gpu.submit(commands)?;
        self.gpu.wait(submission)?;
        Ok(start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_and_foreign_texts_are_refused_with_the_line() {
        let line = "a\tVulkan\td\t1\t768\t768\t16\tF32\tforward\t";
        let good = format!("{}\n{line}lanes\n", header());
        assert_eq!(Tuned::parse(good.as_bytes()).unwrap().choices.values().next(), Some(&Family::Lanes));
        let problem = |text: &str| Tuned::parse(text.as_bytes()).unwrap_err();
        assert!(problem("").contains("first line"));
        assert!(problem("{\"json\": 1}\n").contains("first line"));
        assert!(problem(&good.replace("numerics 1", "numerics 0")).contains("numerics 0"));
        assert!(problem(&good.replace("lanes", "wide")).contains("line 2"));
        assert!(problem(&good.replace("\tF32", "")).contains("line 2"));
        assert!(problem(good.trim_end()).contains("no end"));
        assert!(Tuned::parse(&[0xff, 0xfe]).unwrap_err().contains("text"));
    }
}
