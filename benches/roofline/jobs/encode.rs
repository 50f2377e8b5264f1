//! `encode`: 65,536 records to the features of the default plan.
//!
//! Bytes are the records read and the features written. Almost all arithmetic is on integers; no flops are counted,
//! so the roof is the traffic.

use super::{assert_near, read_rows};
use crate::{Case, Job};
use gtca::encode::{Encoder, Forward, IdTables, Plan, twin};
use gtca::gpu::{Dtype, Gpu, View};
use gtca::records::{RECORD_WORDS, Record, Records};

const RECORDS: u32 = 65_536;

pub(super) fn cases() -> Vec<Case> {
    let width = plan().width();
    vec![Case { name: "encode", shape: format!("{RECORDS}x{width},gtca"), make: Box::new(encode) }]
}

fn plan() -> Plan {
    Plan::gtca(&IdTables::default()).expect("a valid plan")
}

/// Records all over the globe and through the years; every eighth has no date.
fn records(numbers: std::ops::Range<u32>) -> Records {
    let one = |i: u32| {
        let share = |step: u32| f64::from(i.wrapping_mul(step)) / 4_294_967_296.0;
        let place = Record::new()
            .lat_deg(180.0 * share(2_654_435_761) - 90.0)
            .lon_deg(360.0 * share(3_266_489_917) - 180.0)
            .gsd_m(10.0 + 50.0 * share(668_265_263));
        let [month, day] = [12, 28].map(|count| (i / 8 % count) as i32 + 1);
        if i.is_multiple_of(8) { place } else { place.date(2000 + (i % 25) as i32, month, day) }
    };
    Records::from_records(&numbers.map(one).collect::<Vec<_>>()).expect("valid records")
}

fn encode(gpu: &Gpu) -> Job {
    let encoder = Encoder::new(gpu, plan());
    let (width, parameters) = (encoder.plan().width(), encoder.plan().arena_len());
    let words = gpu.upload("records", records(0..RECORDS).words());
    let arena = gpu.zeros("arena", u64::from(parameters) * 4);
    let e = gpu.zeros("e", u64::from(RECORDS * width) * 4);
    let (host, result) = (gpu.clone(), e.clone());
    let record = move |commands: &mut wgpu::CommandEncoder| {
        let args = Forward {
            records: View::matrix(&words, RECORD_WORDS, RECORDS).of(Dtype::U32),
            arena: View::vector(&arena, parameters),
            given: None,
            e: View::matrix(&e, RECORDS, width),
            status: None,
        };
        encoder.forward(&mut host.recorder(commands), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        for few in [0..40, RECORDS - 40..RECORDS] {
            let got = read_rows(gpu, &result, width, few.clone());
            let arena = vec![0.0; parameters as usize];
            assert_near("encode", &got, &twin::forward(&plan(), &records(few), &arena, &[]));
        }
    };
    let bytes = 4.0 * f64::from(RECORDS) * f64::from(RECORD_WORDS + width);
    Job { bytes, flops: 0.0, record: Box::new(record), check: Box::new(check) }
}
