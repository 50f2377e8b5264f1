//! Adapters in a frozen vision transformer on Burn: `cargo run -p gtca-burn --profile guest --example vit_adapters -- --help`.
//!
//! | file | what |
//! |---|---|
//! | [`vit`] | the transformer; its blocks say where adapters go |
//! | [`pretrain`] | the backbone: hidden steps reconstructed, no labels, no metadata |
//! | [`tuned`] | the methods: head alone, plain LoRA, gated LoRA |
//! | [`data`], [`study`] | samples and splits; batches on the device |
//! | [`measure`] | scores, wrong metadata, time and memory |
//! | [`report`] | tables |

#[path = "../../benches/clock/mod.rs"]
mod clock;
mod data;
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
use data::{Data, Split};
use gtca::gpu::Gpu;
use report::Row;
use settings::Settings;
use std::error::Error;
use study::Study;
use tuned::{Frozen, Method, Tuned};

#[expect(clippy::print_stdout, reason = "the tables are what the program says")]
fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::parse();
    let data = Data::load(&settings)?;
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    let gpu = Gpu::adopt(setup.device, setup.queue);
    let title = format!("{}, {} samples, on {gpu}", data.name, data.labels.len());
    println!("{title}");
    if settings.data.is_none() {
        println!("No --data: a small made-up world. Real data are read from GTCA_DATA, see --help.");
    }
    let of = |protocol: &String| data.splits(protocol, settings.splits, settings.seed);
    let splits: Vec<Split> = settings.protocols.iter().flat_map(of).collect();
    let study = Study::new(&gpu, &device.autodiff(), data, settings.seed)?;
    let (mut rows, mut last) = (Vec::new(), None);
    for (number, split) in splits.iter().enumerate() {
        println!("split {} of {}: {}, fold {}", number + 1, splits.len(), split.protocol, split.fold);
        let (frozen, of_split) = compare(&study, split, &settings)?;
        for Row { method, worth, .. } in &of_split {
            println!("  {}: accuracy {:.3}, macro-F1 {:.3}", method.name(), worth.accuracy, worth.macro_f1);
        }
        rows.extend(of_split);
        // What is done is kept, should the rest take too long.
        report::write(&settings.out, &title, &rows, &[])?;
        last = Some((frozen, &split.train));
    }
    let (frozen, train) = last.ok_or("no protocol gives a split of these data")?;
    let costs = measure::costs(&study, &frozen, train, &settings)?;
    println!("\n{}", report::write(&settings.out, &title, &rows, &costs)?);
    Ok(())
}

/// A backbone of the split's training part, and every method on it.
fn compare(study: &Study, split: &Split, settings: &Settings) -> Result<(Frozen, Vec<Row>), gtca::Error> {
    let seed = settings.seed + split.fold as u64;
    let tokens = study.tokens(&split.train);
    let (vit, _) = pretrain::pretrain(study, &tokens, &split.train, settings, seed);
    let frozen = Frozen::new(vit, tokens, settings.adapted);
    let mut rows = Vec::new();
    for method in Method::LEARNING {
        let tuned = Tuned::new(method, study, &frozen, settings, seed)?;
        let parts = [split.train.as_slice(), &split.validation];
        let (tuned, _) = tuned.train(study, &frozen, parts, settings, seed)?;
        rows.push(Row {
            protocol: split.protocol.clone(),
            fold: split.fold,
            method,
            samples: [split.train.len(), split.test.len()],
            worth: measure::worth(study, &frozen, &tuned, &split.test)?,
        });
    }
    Ok((frozen, rows))
}
