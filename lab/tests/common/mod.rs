//! A small data folder to break, and the way to the real data.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

/// A folder that is removed when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gtca-lab-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// Replaces the one occurrence of `old` in a file.
    pub(crate) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old:?} must occur once in {name}");
        self.write(name, &text.replace(old, new));
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).unwrap();
    }

    /// `data.safetensors` with the given one-dimensional columns beside `series`.
    pub(crate) fn write_arrays(&self, shape: [usize; 3], series: &[f32], columns: &[(&str, &[i32])]) {
        use safetensors::{Dtype, tensor::TensorView};
        let bytes: Vec<u8> = series.iter().flat_map(|v| v.to_le_bytes()).collect();
        let columns: Vec<(String, Vec<u8>)> = columns
            .iter()
            .map(|(n, c)| (n.to_string(), c.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let series = TensorView::new(Dtype::F32, shape.to_vec(), &bytes).unwrap();
        let mut all = vec![("series".to_owned(), series)];
        for (name, bytes) in &columns {
            all.push((name.clone(), TensorView::new(Dtype::I32, vec![bytes.len() / 4], bytes).unwrap()));
        }
        let file = safetensors::serialize(all, None).unwrap();
        std::fs::write(self.0.join("data.safetensors"), file).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) const JSON: &str = r#"{
 "name": "tiny", "channels": ["red", "nir", "rain"], "spectral": ["nir", "red"], "context": ["rain"],
 "steps": 2, "classes": ["water", "grass", "crop"], "later_key": [1],
 "tasks": [{"name": "cover", "label": "label", "filter": "use", "steps": [1]}, {"name": "all", "label": "label"}],
 "protocols": {"cover": ["year", "random"]}, "year_folds": {"0": "2019"}, "year_eval": [0]
}"#;

pub(crate) const SAMPLES: &str = "id,lon,lat,year,month,label,label_id,use,koppen_code
a,-50.5,-10.25,2019,3,grass,1,1,4
b,10.5,45.5,2020,7,crop,2,1,32
c,11.5,46.5,2020,,water,0,0,
d,12.5,47.5,2019,9,crop,2,1,9
";

pub(crate) const SPLITS: &str = "id,fold_random,fold_year\nd,1,0\na,0,0\nb,1,1\nc,0,-1\n";

pub(crate) const CONFLICT: &str = "id,kind,lat,lon,km,koppen_code,koppen
a,d10,-10.2,-50.4,10.0,4,Aw
b,d10,45.6,10.6,10.0,32,Ocean
";

/// A folder that loads.
pub(crate) fn tiny(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("dataset.json", JSON);
    folder.write("samples.csv", SAMPLES);
    folder.write("splits.csv", SPLITS);
    folder.write("conflict.csv", CONFLICT);
    let mut series: Vec<f32> = (0..24).map(|i| i as f32).collect();
    series[3] = f32::NAN;
    folder.write_arrays([4, 2, 3], &series, &[("label_id", &[1, 2, 0, 2]), ("fold_year", &[0, 1, -1, 0])]);
    folder
}

/// `GTCA_DATA`, else the folder beside the repository; `None`, said aloud, where there is none.
pub(crate) fn real_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GTCA_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("no {name} in GTCA_DATA"));
    None
}

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}
