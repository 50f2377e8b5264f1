//! Sweeps of an adapter whose logits are made on the device: every wrong metadata, with donors from table and grid.

use super::common::Folder;
use super::{CLASSES, has_adapter, noise, run};
use gtca::adapter::{AdapterDesc, Condition, GtcaAdapter, LayerDesc};
use gtca::encode::{IdTables, Plan};
use gtca::gate::Mu;
use gtca::gpu::{Dtype, Gpu, Knob, OpenOptions, View};
use gtca::records::{RECORD_WORDS, Record, Records};
use gtca_lab::data::{ClimateGrid, Place};
use gtca_lab::shards::Shards;
use gtca_lab::sweep::{Chunk, Columns, Factored, Files, Metadata, Partial, Source, Wrong};
use safetensors::tensor::TensorView;
use std::path::{Path, PathBuf};

const INPUTS: usize = 6;
const OUTPUTS: usize = 5;
/// Size of the adapter's table of climate zones.
const ZONES: u32 = 4;
/// The last row has neither date nor ground sample distance.
const ROWS: usize = 13;

/// An adapter, a head, embeddings and a table in files.
struct Case {
    gpu: Gpu,
    folder: Folder,
    adapter: GtcaAdapter,
    x: Vec<f32>,
    base: Vec<f32>,
    head: Vec<f32>,
}

fn drawn(array: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| noise(i, array, 0) - 0.5).collect()
}

/// Three belts of two degrees of latitude: zones 1, 2, 3, 1, … from the north pole; the western hemisphere is sea.
fn grid() -> ClimateGrid {
    let code = |cell: usize| if cell.is_multiple_of(2) { 0 } else { (cell / 2 % 3) as u8 + 1 };
    ClimateGrid { rows: 90, columns: 2, codes: (0..180).map(code).collect() }
}

impl Case {
    /// None where there is no adapter.
    fn new(name: &str) -> Option<Self> {
        let Ok(gpu) = Gpu::open_blocking(&OpenOptions::default()) else {
            assert!(!has_adapter());
            return None;
        };
        let layers = vec![LayerDesc { inputs: INPUTS as u32, outputs: OUTPUTS as u32, rank: 2, alpha: None }];
        let desc = AdapterDesc { layers, hidden: 7, alpha: 8.0, ..Default::default() };
        let plan = Plan::gtca(&IdTables { climate_zone: ZONES, ..Default::default() }).unwrap();
        let adapter = GtcaAdapter::new(&gpu, plan, &desc, 1).unwrap();
        adapter.set_values(&drawn(40, adapter.values().width() as usize)).unwrap();
        let [x, base, head] = [(41, ROWS * INPUTS), (42, ROWS * CLASSES), (43, CLASSES * OUTPUTS)]
            .map(|(n, len)| drawn(n, len));
        let this = Self { gpu, folder: Folder::new(name), adapter, x, base, head };
        this.write("shard.safetensors", &[("x", INPUTS, &this.x), ("base", CLASSES, &this.base)]);
        this.write("head.safetensors", &[("weight", OUTPUTS, &this.head)]);
        let saved = pollster::block_on(this.adapter.save()).unwrap();
        std::fs::write(this.path("adapter.safetensors"), saved).unwrap();
        let codes = grid();
        let header = format!(
            "{{'descr': '|u1', 'fortran_order': False, 'shape': ({}, {}), }}",
            codes.rows, codes.columns
        );
        let header = format!("{header:<117}\n");
        let bytes = [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes(), &codes.codes].concat();
        std::fs::write(this.path("climate.npy"), bytes).unwrap();
        let mut table = "id,lat,lon,year,month,doy,gsd_m,crop\n".to_owned();
        for i in 0..ROWS - 1 {
            // In pairs, 20 km from one another.
            let (lat, lon) = (5 * (i / 2) as i32 - 20, 12.0 * (i / 2) as f64 + 0.2 * (i % 2) as f64 + 1.0);
            table += &format!("{i},{lat},{lon},2019,{},{},10,{}\n", i % 12 + 1, 28 * i + 10, i % CLASSES);
        }
        this.folder.write("samples.csv", &(table + "12,60,150,,,,,0\n"));
        Some(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Matrices by name and width.
    fn write(&self, name: &str, arrays: &[(&str, usize, &[f32])]) {
        let bytes = arrays.iter().map(|array| array.2.iter().flat_map(|v| v.to_le_bytes()).collect());
        let bytes: Vec<Vec<u8>> = bytes.collect();
        let views = arrays.iter().zip(&bytes).map(|((name, width, values), bytes)| {
            let shape = vec![values.len() / width, *width];
            (*name, TensorView::new(safetensors::Dtype::F32, shape, bytes).unwrap())
        });
        std::fs::write(self.path(name), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    /// All rows, by the source itself.
    fn chunk(&self, wrong: Vec<Wrong>) -> Chunk {
        let columns =
            Columns { label: None, classes: Vec::new(), group_by: Vec::new(), resample: "sample".to_owned() };
        let metadata = Metadata::open(&self.path("samples.csv"), &columns, CLASSES).unwrap();
        let metadata = metadata.with_climate(Some(grid()), &[]);
        let read = |name: &str| std::fs::read(self.path(name)).unwrap();
        let (adapter, head) = (read("adapter.safetensors"), read("head.safetensors"));
        let files = Files { adapter, head, alpha: 8.0, climate_zones: ZONES };
        let shards = Shards::open(&[self.path("shard.safetensors")]).unwrap();
        Factored::new(&self.gpu, metadata, shards, &files, wrong).unwrap().chunk(0, ROWS).unwrap()
    }

    /// By the command.
    fn sweep(&self, out: &str, more: &[&str]) -> Result<(), String> {
        let text = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let files = ["samples.csv", "shard.safetensors", "adapter.safetensors", "head.safetensors"].map(text);
        let flags = ["--metadata", "--shards", "--adapter", "--head"];
        let out = text(out);
        let mut words = vec!["gtca-lab", "sweep", "--alpha", "8", "--climate-zones", "4", "--label", "crop"];
        words.extend(["--out", &out]);
        words.extend(flags.iter().zip(&files).flat_map(|(flag, file)| [*flag, file.as_str()]));
        run(&[&words, more].concat())
    }

    /// What `inject` and a head give under some records: the whole forward, without any shortcut.
    fn whole_forward(&self, records: &[Record], v: f32) -> Vec<f32> {
        let (gpu, rows) = (&self.gpu, records.len() as u32);
        let words = gpu.upload("records", Records::from_records(records).unwrap().words());
        let (valid, x) = (gpu.upload("v", &vec![v; records.len()]), gpu.upload("x", &self.x));
        let y = gpu.zeros("y", u64::from(rows) * OUTPUTS as u64 * 4);
        let (tape, mut encoder) = (self.adapter.tape(rows, 1), gpu.encoder());
        let mut recorder = gpu.recorder(&mut encoder);
        let records = View::matrix(&words, RECORD_WORDS, rows).of(Dtype::U32);
        let (validity, mu) = (View::matrix(&valid, rows, 1), Mu::Knob(Knob::Host(1.0)));
        self.adapter.condition(&mut recorder, &tape, &Condition { records, validity, mu }).unwrap();
        let (x, y) = (View::matrix(&x, rows, INPUTS as u32), View::matrix(&y, rows, OUTPUTS as u32));
        self.adapter.inject(&mut recorder, 0, &tape, x, y, Knob::Host(1.0)).unwrap();
        drop(recorder);
        gpu.submit(encoder).unwrap();
        let y = gpu.read_f32_blocking(&y).unwrap();
        let logit = |row: usize, class: usize| {
            let product = |o| f64::from(y[row * OUTPUTS + o]) * f64::from(self.head[class * OUTPUTS + o]);
            (f64::from(self.base[row * CLASSES + class]) + (0..OUTPUTS).map(product).sum::<f64>()) as f32
        };
        let pairs = (0..rows as usize).flat_map(|row| (0..CLASSES).map(move |class| (row, class)));
        pairs.map(|(row, class)| logit(row, class)).collect()
    }
}

/// Three months later, by the calendar; no day of these is past the month's end.
fn later(record: &Record) -> Record {
    let Some(month) = record.month else { return *record };
    let year = record.year.unwrap() + i32::from(month > 9);
    record.date(year, (month + 2) % 12 + 1, record.day.unwrap())
}

#[test]
fn logits_from_embeddings_are_those_of_the_whole_forward() {
    let Some(case) = Case::new("factored") else { return };
    let names = [
        "missing",
        "+3 months",
        "1000 km",
        "100 km north",
        "gsd x2",
        "neighbour",
        "drop koppen_code & +3 months",
    ];
    let wrong = names.map(|name| Wrong::parse(name).unwrap());
    let chunk = case.chunk(wrong.into());
    let of = |name: &str| &chunk.variants[names.iter().position(|other| *other == name).unwrap()];
    let near = |what: &str, found: &[f32], wanted: &[f32]| {
        let far = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(found.len() == wanted.len() && far < 1e-5, "{what}: {far}");
    };
    let records: Vec<Record> = chunk.rows.iter().map(|row| row.record).collect();
    assert_eq!((records[1].month, records[1].day, records[ROWS - 1].month), (Some(2), Some(7), None));
    let zone = |record: &Record| {
        grid().zone(Place { lat_deg: record.lat_deg.unwrap(), lon_deg: record.lon_deg.unwrap() })
    };
    assert!(
        records.iter().all(|record| record.climate_zone.is_some() && record.climate_zone == zone(record))
    );
    near("recorded", &chunk.base, &case.whole_forward(&records, 1.0));
    near("missing", of("missing"), &case.whole_forward(&records, 0.0));
    // A row that has no date, GSD or neighbour is not there.
    let but_the_last = |name: &str, wrong: &dyn Fn(&Record) -> Record| {
        let wrong: Vec<Record> = records.iter().map(wrong).collect();
        let (found, wanted) = (of(name), case.whole_forward(&wrong, 1.0));
        let last = (ROWS - 1) * CLASSES;
        near(name, &found[..last], &wanted[..last]);
        assert!(found[last..].iter().all(|logit| logit.is_nan()), "{name}: the last row has none");
    };
    but_the_last("+3 months", &later);
    but_the_last("gsd x2", &|record| record.gsd_m.map_or(*record, |gsd| record.gsd_m(2.0 * gsd)));
    but_the_last("drop koppen_code & +3 months", &|record| {
        let mut wrong = later(record);
        wrong.climate_zone = None;
        wrong
    });
    // Rows stand in pairs: each is the other's neighbour.
    but_the_last("neighbour", &|record| {
        let row = record.sample_id.unwrap() as usize;
        let other = records[if row == ROWS - 1 { row } else { row ^ 1 }];
        let mut wrong = *record;
        (wrong.lat_deg, wrong.lon_deg) = (other.lat_deg, other.lon_deg);
        wrong.climate_zone = other.climate_zone;
        wrong
    });
    assert_ne!(of("1000 km"), &chunk.base);
    // A moved place takes the zone that the grid has there.
    let north = |record: &Record| {
        let mut wrong = record.lat_deg(record.lat_deg.unwrap() + (100.0 / 6371.0088_f64).to_degrees());
        wrong.climate_zone = zone(&wrong);
        wrong
    };
    let moved: Vec<Record> = records.iter().map(north).collect();
    assert!(moved.iter().zip(&records).any(|(moved, recorded)| moved.climate_zone != recorded.climate_zone));
    near("100 km north", of("100 km north"), &case.whole_forward(&moved, 1.0));
}

#[test]
fn donors_and_draws_are_the_same_in_any_part_chunk_and_list() {
    let Some(case) = Case::new("adapter-parts") else { return };
    let climate = case.path("climate.npy").to_str().unwrap().to_owned();
    let wrong = [
        "--climate-grid",
        &climate,
        "--wrong",
        "far, same climate",
        "--wrong",
        "100 km & -6 months",
        "--wrong",
        "neighbour",
        "--wrong",
        "far, other climate",
        "--wrong",
        "same season",
        "--wrong",
        "random place",
        "--wrong",
        "missing",
    ];
    let bytes = |name: &str| std::fs::read(case.path(name)).unwrap();
    let sweep = |out: &str, more: &[&str]| case.sweep(out, &[&wrong, more].concat()).unwrap();
    sweep("all.safetensors", &[]);
    sweep("chunks.safetensors", &["--chunk-rows", "3", "--checkpoint", "1"]);
    assert!(bytes("all.safetensors") == bytes("chunks.safetensors"), "chunks do not matter");
    let parts = ["3/3", "1/3", "2/3"].map(|part| {
        let name = format!("part-{}.safetensors", &part[..1]);
        sweep(&name, &["--part", part, "--chunk-rows", "2"]);
        case.path(&name).to_str().unwrap().to_owned()
    });
    let sum = case.path("sum.safetensors").to_str().unwrap().to_owned();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    run(&[&["gtca-lab", "merge"][..], &parts, &["--out", &sum]].concat()).unwrap();
    assert!(bytes("all.safetensors") == bytes("sum.safetensors"), "the sum of the parts is the whole");
    // The first part is what an interrupted sweep of the whole leaves.
    std::fs::copy(case.path("part-1.safetensors"), case.path("resumed.safetensors")).unwrap();
    sweep("resumed.safetensors", &["--chunk-rows", "4"]);
    assert!(bytes("all.safetensors") == bytes("resumed.safetensors"), "it goes on to the same bits");

    let names = ["random place", "far, same climate", "10 km", "missing"];
    let both = [&names[..], &["far, same climate", "10 km"][..]]
        .map(|names| case.chunk(names.iter().map(|name| Wrong::parse(name).unwrap()).collect()));
    assert!(both[0].variants[1..3] == both[1].variants[..], "nor what else is asked for");

    let found = Partial::load(&case.path("all.safetensors")).unwrap();
    let count = |name: &str| {
        let k = found.subject.perturbations.iter().position(|other| other == name).unwrap();
        found.overall(k).unwrap().count()
    };
    assert_eq!(count("far, same climate"), ROWS as u64);
    assert_eq!(count("far, other climate"), ROWS as u64);
    assert_eq!(count("neighbour"), ROWS as u64 - 1, "the last row has no neighbour");
    assert_eq!(count("100 km & −6 months"), ROWS as u64 - 1, "and no date");
}

#[test]
fn an_adapter_and_a_climate_grid_give_the_diagnosis_without_any_file_of_places() {
    let Some(case) = Case::new("adapter-page") else { return };
    let climate = case.path("climate.npy").to_str().unwrap().to_owned();
    case.sweep("all.safetensors", &["--climate-grid", &climate]).unwrap();
    let [all, page] =
        ["all.safetensors", "page.html"].map(|name| case.path(name).to_str().unwrap().to_owned());
    run(&["gtca-lab", "report", &all, "--out", &page]).unwrap();
    let html = std::fs::read_to_string(page).unwrap();
    for said in ["Shortcut diagnosis", "neighbour", "far, same climate", "far, other climate", "1000 km"] {
        assert!(html.contains(said), "the page shows {said}");
    }
    let found = Partial::load(Path::new(&all)).unwrap();
    let diagnosis = gtca_lab::sweep::Diagnosis::of(&found.bags, &found.subject.perturbations, 50, 0);
    assert!(diagnosis.climate.is_some() && !diagnosis.verdict.is_empty());
    assert!(html.contains(diagnosis.verdict[0].split(':').next().unwrap()), "and what it means");

    let other = case.sweep("all.safetensors", &["--climate-grid", &climate, "--no-data", "1"]).unwrap_err();
    assert!(other.contains("inputs"), "another climate is another sweep: {other}");
}

#[test]
fn wrong_metadata_that_cannot_be_made_is_refused_by_name() {
    let Some(case) = Case::new("adapter-refused") else { return };
    let refused = |more: &[&str]| case.sweep("no.safetensors", more).unwrap_err();
    assert!(
        refused(&["--wrong", "10 miles"]).contains("`10 miles` is not understood. Names of wrong metadata")
    );
    assert!(refused(&["--wrong", "far, same climate"]).contains("`far, same climate` needs --climate-grid"));
    assert!(refused(&["--wrong", "-3 months", "--wrong", "−3 months"]).contains("given twice"));
    assert!(refused(&["--climate-grid", "no.npy"]).contains("no.npy"));
    assert!(!case.path("no.safetensors").exists(), "nothing was written");
}
