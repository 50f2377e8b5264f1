//! Adapters in a frozen vision transformer on Burn: `cargo run -p gtca-burn --profile guest --example vit_adapters -- --help`.
//!
//! | file | what |
//! |---|---|
//! | [`vit`] | the transformer; its blocks say where adapters go |
//! | [`pretrain`] | the backbone: hidden steps reconstructed, no labels, no metadata |
//! | [`tuned`] | the methods: head alone, plain LoRA, gated LoRA |
//! | [`study`] | data and batches |
//! | [`measure`] | scores, wrong places, time and memory |
//! | [`report`] | tables |

#[path = "../../benches/clock/mod.rs"]
mod clock;
mod measure;
mod pretrain;
mod report;
mod settings;
mod study;
#[cfg(test)]
mod tests;
mod tuned;
mod vit;

use burn::tensor::Device;
use clap::Parser;
use gtca::gpu::Gpu;
use gtca_lab::splits::{Split, splits};
use indicatif::{ProgressBar, ProgressStyle};
use report::Row;
use settings::Settings;
use std::error::Error;
use study::Study;
use tuned::{Frozen, Method, Tuned};

#[expect(clippy::print_stdout, reason = "the table is what the program says")]
fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::parse();
    let data = study::load(&settings)?;
    let task = data.task(settings.task.as_deref())?;
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    let gpu = Gpu::adopt(setup.device, setup.queue);
    let title = format!("{}: task {} on {gpu}", data.name, task.name);
    println!("{title}");
    if settings.data.is_none() {
        println!("No --data: a synthetic world. Real data are read from GTCA_DATA, see --help.");
    }
    let mut task = task.clone();
    task.protocols.clone_from(&settings.protocols);
    let study = Study::new(&gpu, &device.autodiff(), &data, &task, settings.seed)?;
    let splits: Vec<Split> = splits(&data, &task, settings.seed)
        .into_iter()
        .flat_map(|protocol| protocol.splits.into_iter().take(settings.splits))
        .collect();
    let bar = progress(&settings, splits.len());
    let (mut rows, mut last) = (Vec::new(), None);
    for split in &splits {
        bar.set_message(format!("{} {}", split.protocol.name(), split.name));
        let (frozen, of_split) = compare(&study, split, &settings, &|| bar.inc(1))?;
        rows.extend(of_split);
        last = Some((frozen, &split.train));
    }
    bar.finish_and_clear();
    let (frozen, train) = last.ok_or("no protocol gives a split of these data")?;
    let costs = measure::costs(&study, &frozen, train, &settings)?;
    println!("{}", report::write(&settings.out, &title, &rows, &costs)?);
    Ok(())
}

/// A backbone of the split's training part, and every method on it.
fn compare(
    study: &Study,
    split: &Split,
    settings: &Settings,
    done: &impl Fn(),
) -> Result<(Frozen, Vec<Row>), Box<dyn Error>> {
    let seed = settings.seed + split.index as u64;
    let tokens = study.tokens(&split.train);
    let (vit, _) = pretrain::pretrain(study, &tokens, &split.train, settings, seed, done);
    let frozen = Frozen::new(vit, tokens, settings.adapted);
    let mut rows = Vec::new();
    for method in Method::LEARNING {
        let tuned = Tuned::new(method, study, &frozen, settings, seed)?;
        let parts = [split.train.as_slice(), &split.validation];
        let (tuned, _) = tuned.train(study, &frozen, parts, settings, seed, done)?;
        rows.push(Row {
            protocol: split.protocol.name(),
            split: split.index,
            method,
            samples: [split.train.len(), split.test.len()],
            worth: measure::worth(study, &frozen, &tuned, &split.test)?,
        });
    }
    Ok((frozen, rows))
}

fn progress(settings: &Settings, splits: usize) -> ProgressBar {
    let of_split = settings.pretraining + Method::LEARNING.len() * settings.steps;
    let template = "{bar:30} {pos}/{len} steps, {elapsed} gone, {eta} to go: {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new((splits * of_split) as u64).with_style(style)
}
