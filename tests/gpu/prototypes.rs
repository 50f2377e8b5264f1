//! `prototypes` against its twin, an f64 reference and central differences.

use crate::support::*;
use gtca::gpu::{Dtype, Gpu, Mode, View};
use gtca::prototypes::{Attend, Backward, Prototypes, twin};
use gtca::records::{Field, RECORD_WORDS, Record, Records};

struct Case {
    prototypes: Prototypes,
    records: Records,
    regions: u32,
    each: usize,
    width: usize,
    query: Vec<f32>,
    table: Vec<f32>,
    dcontext: Vec<f32>,
}

impl Case {
    /// Regions 0..regions, unknown ones, and ids without a set.
    fn new(samples: usize, regions: u32, each: u32, width: u32) -> Self {
        let mut random = Random((samples as u64) << 20 | u64::from(each) << 10 | u64::from(width));
        let record = |_| match random.below(regions + 2) {
            0 => Record::new(),
            id => Record::new().ecoregion(id - 1),
        };
        let records: Vec<_> = (0..samples).map(record).collect();
        let mut prototypes = Prototypes::new(Field::Ecoregion, regions, each, width).unwrap();
        prototypes.scale *= 3.0;
        Self {
            prototypes,
            records: Records::from_records(&records).unwrap(),
            regions,
            each: each as usize,
            width: width as usize,
            query: random.f32s(samples * width as usize),
            table: random.f32s((prototypes.rows() * width) as usize),
            dcontext: random.f32s(samples * width as usize),
        }
    }

    fn samples(&self) -> u32 {
        self.records.len() as u32
    }

    /// The context and how many ids had no set.
    fn attend(&self, gpu: &'static Gpu, layout: Layout) -> (Vec<f32>, u32) {
        let mut t = Tensors::new(gpu, layout);
        let shape = [self.samples(), 1, self.width as u32];
        let query = t.f32(shape, &self.query);
        let records = t.u32([RECORD_WORDS, 1, self.samples()], self.records.words());
        let prototypes = t.f32([self.prototypes.rows(), 1, shape[2]], &self.table);
        let (context, status) = (t.poisoned(shape), t.u32([1, 1, 1], &[5]));
        let args = Attend {
            query: t.view(query),
            records: t.view(records),
            prototypes: t.view(prototypes),
            context: t.view(context),
            status: Some(t.view(status)),
        };
        t.run(|recorder| self.prototypes.attend(recorder, &args)).unwrap();
        (t.read(context), t.read_u32(status)[0] - 5)
    }

    /// Gradients of queries and prototypes, added to `before` where there is one.
    fn backward(&self, gpu: &'static Gpu, layout: Layout, before: Option<f32>) -> [Vec<f32>; 2] {
        let mut t = Tensors::new(gpu, layout);
        let shape = [self.samples(), 1, self.width as u32];
        let [query, dcontext] = [&self.query, &self.dcontext].map(|data| t.f32(shape, data));
        let records = t.u32([RECORD_WORDS, 1, self.samples()], self.records.words());
        let sets = [self.prototypes.rows(), 1, shape[2]];
        let prototypes = t.f32(sets, &self.table);
        let outputs = [shape, sets].map(|shape| match before {
            Some(value) => t.f32(shape, &vec![value; shape.iter().product::<u32>() as usize]),
            None => t.poisoned(shape),
        });
        let args = Backward {
            query: t.view(query),
            records: t.view(records),
            prototypes: t.view(prototypes),
            dcontext: t.view(dcontext),
            dquery: t.view(outputs[0]),
            dprototypes: t.view(outputs[1]),
            mode: if before.is_some() { Mode::Accumulate } else { Mode::Overwrite },
        };
        t.run(|recorder| self.prototypes.backward(recorder, &args)).unwrap();
        outputs.map(|output| t.read(output))
    }

    /// The rows of a table in f64 that a sample attends over.
    fn set<'a>(&self, sample: usize, table: &'a [f64]) -> &'a [f64] {
        let id = self.records.get(sample).ecoregion.filter(|id| *id < self.regions);
        let size = self.each * self.width;
        &table[id.map_or(0, |id| id as usize + 1) * size..][..size]
    }

    /// The context in f64.
    fn reference(&self, query: &[f64], table: &[f64]) -> Vec<f64> {
        let one = |(sample, query): (usize, &[f64])| {
            let set = self.set(sample, table);
            let scale = f64::from(self.prototypes.scale);
            let score = |row: &[f64]| scale * row.iter().zip(query).map(|(p, q)| p * q).sum::<f64>();
            let weights: Vec<_> = set.chunks_exact(self.width).map(|row| score(row).exp()).collect();
            let total: f64 = weights.iter().sum();
            let column = |d: usize| {
                let rows = set.chunks_exact(self.width).zip(&weights);
                rows.map(|(row, w)| w * row[d]).sum::<f64>() / total
            };
            (0..self.width).map(column).collect::<Vec<_>>()
        };
        query.chunks_exact(self.width).enumerate().flat_map(one).collect()
    }
}

/// (samples, regions, prototypes of each, width) around the edges of workgroups, quads and chunks; the last takes two runs.
const SHAPES: [(usize, u32, u32, u32); 8] = [
    (1, 1, 1, 1),
    (3, 2, 2, 3),
    (65, 3, 64, 5),
    (64, 1, 65, 64),
    (257, 5, 7, 65),
    (40, 2, 256, 9),
    (513, 4, 3, 4),
    (9000, 1, 256, 1),
];

#[test]
fn contexts_match_f64_and_their_twin() {
    let Some(gpu) = gpu() else { return };
    for (i, (samples, regions, each, width)) in SHAPES.into_iter().enumerate() {
        let case = Case::new(samples, regions, each, width);
        let (context, refused) = case.attend(gpu, LAYOUTS[i % 2]);
        let expected = case.reference(&wide(&case.query), &wide(&case.table));
        // Scores below 3 √width err by their sum; each weight by that, by e^x's 2e-7 and by the division.
        let score = sum_bound(width as usize, f64::from(case.prototypes.scale) * f64::from(width));
        let bound = 2.0 * score + 6e-7 + sum_bound(each as usize, 2.0);
        assert_near("context against f64", &context, &expected, bound);
        let twin = twin::attend(&case.prototypes, &case.records, &case.query, &case.table);
        assert_near("context against its twin", &context, &wide(&twin), bound);
        let beyond = (0..samples).filter(|i| case.records.get(*i).ecoregion.is_some_and(|id| id >= regions));
        assert_eq!(refused as usize, beyond.count());
    }
}

#[test]
fn gradients_match_central_differences_and_their_twin() {
    let Some(gpu) = gpu() else { return };
    for (i, (samples, regions, each, width)) in SHAPES.into_iter().enumerate() {
        let case = Case::new(samples, regions, each, width);
        let [dquery, dtable] = case.backward(gpu, LAYOUTS[i % 2], None);
        let (twin_query, twin_table) =
            twin::backward(&case.prototypes, &case.records, &case.query, &case.table, &case.dcontext);
        // Weights and slopes stay below 1 and scale · 2 width; a set's sum has a term a sample.
        let one = 2e-6 * f64::from(width) * (1.0 + f64::from(case.prototypes.scale)).powi(2);
        let sum = one * (1.0 + samples as f64 / f64::from(each * regions));
        assert_near("dquery against its twin", &dquery, &wide(&twin_query), one);
        assert_near("dprototypes against their twin", &dtable, &wide(&twin_table), sum);
        if samples * width as usize > 400 {
            continue;
        }
        let (query, table) = (wide(&case.query), wide(&case.table));
        let loss = |context: &[f64]| context.iter().zip(&case.dcontext).map(|(c, g)| c * f64::from(*g)).sum();
        let differences = central_differences(&query, 1e-4, |query| loss(&case.reference(query, &table)));
        assert_near("dquery against differences", &dquery, &differences, one);
        let differences = central_differences(&table, 1e-4, |table| loss(&case.reference(&query, table)));
        assert_near("dprototypes against differences", &dtable, &differences, sum);
    }
}

#[test]
fn a_region_learns_from_its_own_samples_alone() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(300, 4, 2, 8);
    let records = (0..300).map(|i| if i % 2 == 0 { Record::new() } else { Record::new().ecoregion(2) });
    case.records = Records::from_records(&records.collect::<Vec<_>>()).unwrap();
    let [_, dtable] = case.backward(gpu, Layout::OneBuffer, None);
    for (set, rows) in dtable.chunks_exact(16).enumerate() {
        let learns = rows.iter().any(|x| *x != 0.0);
        assert_eq!(learns, set == 0 || set == 3, "set {set}");
    }
}

#[test]
fn samples_alone_repeats_and_both_layouts_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(70, 3, 9, 33);
    let (context, _) = case.attend(gpu, Layout::Separate);
    let gradients = case.backward(gpu, Layout::Separate, None);
    for repeat in 0..6 {
        assert_same_bits("context", &context, &case.attend(gpu, LAYOUTS[repeat % 2]).0);
        let again = case.backward(gpu, LAYOUTS[repeat % 2], None);
        assert_same_bits("dquery", &gradients[0], &again[0]);
        assert_same_bits("dprototypes", &gradients[1], &again[1]);
    }
    for sample in [0, 1, 63, 64, 69] {
        let mut alone = Case::new(1, 3, 9, 33);
        alone.records = Records::from_records(&[case.records.get(sample)]).unwrap();
        alone.query = case.query[sample * 33..][..33].to_vec();
        alone.table.clone_from(&case.table);
        assert_same_bits("row", &alone.attend(gpu, Layout::OneBuffer).0, &context[sample * 33..][..33]);
    }
    let added = case.backward(gpu, Layout::OneBuffer, Some(2.0));
    for (added, plain) in added.iter().zip(&gradients) {
        let sums: Vec<f32> = plain.iter().map(|x| 2.0 + x).collect();
        assert_same_bits("added", added, &sums);
    }
}

#[test]
fn an_empty_batch_learns_nothing() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(0, 2, 3, 5);
    let [_, dtable] = case.backward(gpu, Layout::OneBuffer, None);
    assert_eq!(dtable, [0.0; 45]);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let message =
        |region, regions, each, width| Prototypes::new(region, regions, each, width).unwrap_err().to_string();
    assert!(message(Field::Lat, 1, 1, 1).contains("`region` is lat"));
    assert!(message(Field::Tile, 0, 1, 1).contains("`regions` is 0"));
    assert!(message(Field::Tile, 1 << 20, 8, 8).contains("`regions`"));
    assert!(message(Field::Tile, 1, 257, 1).contains("`each` is 257"));
    assert!(message(Field::Tile, 1, 1, 0).contains("`width` is 0"));
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(2, 1, 2, 3);
    case.prototypes.scale = f32::NAN;
    let t = Tensors::new(gpu, Layout::Separate);
    let (query, records) = (gpu.zeros("query", 24), gpu.zeros("records", 4 * 2 * u64::from(RECORD_WORDS)));
    let table = gpu.zeros("table", 48);
    let context = gpu.zeros("context", 24);
    let args = Attend {
        query: View::matrix(&query, 2, 3),
        records: View::matrix(&records, RECORD_WORDS, 2).of(Dtype::U32),
        prototypes: View::matrix(&table, 4, 3),
        context: View::matrix(&context, 2, 3),
        status: None,
    };
    let refused = |prototypes: &Prototypes, args: Attend<'_>| {
        t.run(|recorder| prototypes.attend(recorder, &args)).unwrap_err().to_string()
    };
    assert!(refused(&case.prototypes, args).contains("`scale`"));
    case.prototypes.scale = 1.0;
    let narrow = Attend { context: View::matrix(&context, 3, 2), ..args };
    assert!(refused(&case.prototypes, narrow).contains("`context`"));
    let aliased = Attend { context: View::matrix(&query, 2, 3), ..args };
    assert!(refused(&case.prototypes, aliased).contains("`context`"));
}

#[test]
fn initial_prototypes_are_reproducible_and_of_length_one_on_average() {
    let prototypes = Prototypes::new(Field::Tile, 30, 8, 64).unwrap();
    let table = prototypes.initial(4);
    assert_eq!(table, prototypes.initial(4));
    assert_ne!(table, prototypes.initial(5));
    let rows: Vec<f32> = table.chunks_exact(64).map(|row| row.iter().map(|x| x * x).sum()).collect();
    assert_eq!(rows.len(), 31 * 8);
    // A row's square has the deviation √(2/64), their mean 0.011.
    assert!((rows.iter().sum::<f32>() / rows.len() as f32 - 1.0).abs() < 0.05);
}

/// How `backward` refuses so many samples over a table of 2²⁴ numbers.
fn refusal(gpu: &Gpu, samples: u32, each: u32, width: u32) -> String {
    let prototypes = Prototypes::new(Field::Tile, (1 << 24) / (each * width) - 1, each, width).unwrap();
    let buffer = |rows: u32, width: u32| gpu.zeros("tensor", 4 * u64::from(rows) * u64::from(width));
    let [read, dquery] = [0; 2].map(|_| buffer(samples, width));
    let [table, dtable] = [0; 2].map(|_| buffer(prototypes.rows(), width));
    let records = buffer(samples, RECORD_WORDS);
    let args = Backward {
        query: View::matrix(&read, samples, width),
        records: View::matrix(&records, RECORD_WORDS, samples).of(Dtype::U32),
        prototypes: View::matrix(&table, prototypes.rows(), width),
        dcontext: View::matrix(&read, samples, width),
        dquery: View::matrix(&dquery, samples, width),
        dprototypes: View::matrix(&dtable, prototypes.rows(), width),
        mode: Mode::Overwrite,
    };
    gpu.scratch_bytes(|recorder| prototypes.backward(recorder, &args)).unwrap_err().to_string()
}

#[test]
fn batches_that_no_binding_holds_beside_a_large_table_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    // Five chunks, whose partial sums take 64 MiB each.
    let many = refusal(gpu, 150_000, 256, 1);
    assert!(many.contains("`query` is 150000") && many.contains("split the batch"), "{many}");
    // One chunk of all samples, whose queries take 160 MB.
    let wide = refusal(gpu, 10_000, 256, 4096);
    assert!(wide.contains("`query` is 10000") && wide.contains("split the batch"), "{wide}");
}
