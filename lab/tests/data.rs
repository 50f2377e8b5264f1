//! Loading folders, whole and broken.
#![allow(missing_docs, reason = "a test file")]

mod common;

use common::{Folder, tiny};
use gtca_lab::data::{ClimateGrid, Evidence, LoadOptions, Protocol, load};

fn error(folder: &Folder) -> String {
    load(folder.path(), &LoadOptions::default()).expect_err("the folder is broken").to_string()
}

#[track_caller]
fn says(folder: &Folder, parts: &[&str]) {
    let message = error(folder);
    for part in parts {
        assert!(message.contains(part), "{message:?} must contain {part:?}");
    }
}

#[test]
fn a_whole_folder_loads_with_its_gaps_kept_as_gaps() {
    let folder = tiny("whole");
    let data = load(folder.path(), &LoadOptions::default()).unwrap();
    assert_eq!(data.name, "tiny");
    assert_eq!(data.spectral, [1, 0]);
    let task = data.task(None).unwrap();
    assert_eq!(
        (task.name.as_str(), &task.rows[..], &task.labels[..]),
        ("cover", &[0, 1, 3][..], &[0, 1, 1][..])
    );
    assert_eq!(task.classes, ["grass", "crop"]);
    assert_eq!(task.protocols, [Protocol::Random, Protocol::Year]);
    assert_eq!(data.task(Some("all")).unwrap().protocols, Protocol::ALL);
    assert_eq!(data.samples[1].climate_zone, None, "ocean is no data");
    assert_eq!(data.samples[2].when.month, None);
    assert_eq!(data.samples[0].when.year, Some(2019));
    assert_eq!(data.samples[0].gsd_m, None);
    assert_eq!(data.folds.of[&Protocol::Year], [0, 1, -1, 0], "folds follow ids, not the order of lines");
    let donors = &data.conflicts["d10"];
    assert_eq!(donors[0].unwrap().climate_zone, Some(4));
    assert_eq!(donors[1].unwrap().climate_zone, None);
    assert!(donors[2].is_none());
    assert!(data.month_varies);
    let notes = data.notes.join("\n");
    for said in [
        "1 of 24 series values",
        "gsd_m is not in the data",
        "month is missing in 1 of 4",
        "no d10 place for 2",
    ] {
        assert!(notes.contains(said), "{notes}");
    }
    let evidence = Evidence::of(&data, task);
    assert_eq!(evidence.features, 2);
    assert!(evidence.values[1].is_nan());
    assert_eq!(evidence.values[2..], [10.0, 9.0, 22.0, 21.0]);
    assert!(data.task(Some("none")).unwrap_err().to_string().contains("it has cover, all"));
}

#[test]
fn optional_files_may_be_absent_and_npy_stands_in_for_safetensors() {
    let folder = tiny("optional");
    folder.remove("splits.csv");
    folder.remove("conflict.csv");
    folder.remove("data.safetensors");
    says(&folder, &["series.npy"]);
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2, 3), }";
    npy.extend(format!("{header:<117}\n").bytes());
    npy.extend((0..24).flat_map(|i| (i as f32).to_le_bytes()));
    std::fs::write(folder.path().join("series.npy"), npy).unwrap();
    let data = load(folder.path(), &LoadOptions::default()).unwrap();
    assert_eq!(data.series[23], 23.0);
    assert!(data.folds.of.is_empty() && data.conflicts.is_empty());
}

#[test]
fn a_climate_grid_gives_the_zones_that_the_tables_lack() {
    let folder = tiny("grid");
    folder.edit("samples.csv", ",koppen_code\n", ",other\n");
    folder.edit("conflict.csv", ",koppen_code,", ",other,");
    let grid = ClimateGrid { rows: 2, columns: 1, codes: vec![3, 7] };
    let data = load(folder.path(), &LoadOptions { grid: Some(&grid), ..Default::default() }).unwrap();
    assert_eq!(data.samples[0].climate_zone, Some(7));
    assert_eq!(data.conflicts["d10"][1].unwrap().climate_zone, Some(3));
    assert_eq!(data.climate_zones(), 8);
}

#[test]
fn a_missing_file_is_named() {
    let folder = tiny("missing");
    folder.remove("samples.csv");
    says(&folder, &["samples.csv"]);
    folder.remove("dataset.json");
    says(&folder, &["dataset.json"]);
}

#[test]
fn a_bad_cell_is_named_by_file_row_and_column() {
    for (old, new, parts) in [
        ("-10.25", "NaN", &["samples.csv", "row 1", "line 2", "column lat", "NaN"][..]),
        ("-10.25", "91", &["samples.csv", "row 1", "column lat", "91", "-90..=90"]),
        ("45.5", "", &["row 2", "column lat"]),
        ("11.5", "361", &["row 3", "column lon"]),
        ("2020,7", "2020,13", &["row 2", "column month", "1..=12"]),
        ("2020,7", "2020,7.5", &["row 2", "column month", "whole"]),
        ("a,-50.5", "b,-50.5", &["row 2", "column id", "row 1"]),
        ("a,-50.5", ",-50.5", &["row 1", "column id"]),
        ("crop,2,1,9", "corn,2,1,9", &["row 4", "column label", "corn"]),
        ("crop,2,1,9", "crop,3,1,9", &["row 4", "column label_id", "0..=2"]),
        ("crop,2,1,9", "crop,1,1,9", &["row 4", "column label_id", "class 2"]),
        ("crop,2,1,9", ",,1,9", &["row 4", "column label", "is no class"]),
        ("crop,2,1,9", "crop,2,1,999", &["row 4", "column koppen_code"]),
        ("crop,2,1,9", "crop,2,2,9", &["row 4", "column use"]),
        ("crop,2,1,9", "crop,2,1", &["samples.csv", "line: 5"]),
    ] {
        let folder = tiny("cell");
        folder.edit("samples.csv", old, new);
        says(&folder, parts);
    }
}

#[test]
fn folds_must_match_the_ids() {
    for (old, new, parts) in [
        ("d,1,0", "x,1,0", &["splits.csv", "row 1", "column id", "no id of samples.csv"][..]),
        ("d,1,0", "a,1,0", &["splits.csv", "row 2", "occurs twice"]),
        ("d,1,0\n", "", &["splits.csv", "3 rows", "4"]),
        ("d,1,0", "d,1,x", &["splits.csv", "row 1", "column fold_year"]),
        ("d,1,0", "d,1,1", &["data.safetensors", "fold_year", "row 4"]),
        ("fold_random", "fold_colour", &["splits.csv", "fold_colour"]),
    ] {
        let folder = tiny("folds");
        folder.edit("splits.csv", old, new);
        says(&folder, parts);
    }
}

#[test]
fn wrong_places_must_belong_to_samples() {
    for (old, new, parts) in [
        ("a,d10", "x,d10", &["conflict.csv", "row 1", "column id"][..]),
        ("-10.2,", "-100.2,", &["conflict.csv", "row 1", "column lat"]),
        ("b,d10", "a,d10", &["conflict.csv", "row 2", "twice"]),
        ("id,kind", "id,sort", &["conflict.csv", "column kind"]),
    ] {
        let folder = tiny("conflict");
        folder.edit("conflict.csv", old, new);
        says(&folder, parts);
    }
}

#[test]
fn dataset_json_is_checked_against_the_rest() {
    for (old, new, parts) in [
        (r#""steps": [1]"#, r#""steps": [2]"#, &["dataset.json", "task cover", "2 must be below 2"][..]),
        (r#"["nir", "red"]"#, r#"["nir", "blue"]"#, &["dataset.json", "spectral", "blue"]),
        (r#""steps": 2"#, r#""steps": 3"#, &["data.safetensors", "[4, 2, 3]", "[4, 3, 3]"]),
        (r#""filter": "use""#, r#""filter": "used""#, &["samples.csv", "column used", "cover"]),
        (r#"["year", "random"]"#, r#"["yearly"]"#, &["dataset.json", "yearly", "block"]),
        (r#""protocols": {"cover""#, r#""protocols": {"roof""#, &["dataset.json", "roof"]),
        (r#""name": "tiny","#, "", &["dataset.json", "name"]),
    ] {
        let folder = tiny("json");
        folder.edit("dataset.json", old, new);
        says(&folder, parts);
    }
}

#[test]
fn arrays_must_agree_with_the_table() {
    let folder = tiny("arrays");
    folder.write_arrays([4, 2, 3], &[0.0; 24], &[("label_id", &[1, 2, 0, 1])]);
    says(&folder, &["data.safetensors", "label_id", "row 4"]);
    folder.write_arrays([4, 2, 3], &[0.0; 24], &[("lat", &[-10, 45, 46, 47])]);
    says(&folder, &["data.safetensors", "column lat", "row 1"]);
    folder.write_arrays([4, 2, 3], &[0.0; 24], &[("lat", &[1, 2])]);
    says(&folder, &["data.safetensors", "`lat` has 2 rows"]);
    folder.write_arrays([3, 2, 3], &[0.0; 18], &[]);
    says(&folder, &["[3, 2, 3]", "[4, 2, 3]"]);
    let mut series = [0.0; 24];
    series[10] = f32::INFINITY;
    folder.write_arrays([4, 2, 3], &series, &[]);
    says(&folder, &["data.safetensors", "row 2", "step 1", "column nir"]);
    folder.write("data.safetensors", "nonsense");
    says(&folder, &["data.safetensors"]);
}

#[test]
fn the_real_folders_load() {
    let counts = [
        ("matogrosso_modis", "core5_early", 1619, 5, 48),
        ("lfmc_us", "lfmc3", 2282, 3, 42),
        ("alphaearth_amazon", "clearing2", 964, 2, 64),
    ];
    for (name, task, rows, classes, features) in counts {
        let Some(folder) = common::real_data(name) else { continue };
        let data = load(&folder, &LoadOptions::default()).unwrap();
        let task = data.task(Some(task)).unwrap();
        assert_eq!((task.rows.len(), task.classes.len()), (rows, classes));
        assert_eq!(Evidence::of(&data, task).features, features);
        assert_eq!(data.month_varies, name == "lfmc_us");
        assert_eq!(data.folds.of.len(), 5);
        assert_eq!(data.conflicts.len(), 5);
    }
}

#[test]
fn the_koppen_grid_knows_some_cities() {
    let Some(folder) = common::real_data("koppen") else { return };
    let grid = ClimateGrid::load(&folder.join("koppen_0p5deg.npy"), &[32]).unwrap();
    let zone = |lat_deg, lon_deg| grid.zone(gtca_lab::data::Place { lat_deg, lon_deg });
    assert_eq!(zone(-3.1, -60.0), Some(1), "Manaus is Af");
    assert_eq!(zone(30.05, 31.25), Some(7), "Cairo is BWh");
    assert_eq!(zone(0.0, -30.0), None, "mid-Atlantic");
    let wrong = ClimateGrid::load(&folder.join("legend.csv"), &[]).unwrap_err();
    assert!(wrong.to_string().contains("legend.csv"));
}
