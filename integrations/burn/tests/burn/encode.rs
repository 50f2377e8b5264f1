//! Records to features.

use crate::support::{assert_close, random, training, values};
use burn::tensor::{Tensor, TensorData};
use gtca::encode::{Block, IdTables, Order, Plan, Source, Wave, Waves, twin};
use gtca::records::{Record, Records};
use gtca_burn::encode::{MetadataEncoder, upload};

const FREQUENCIES: usize = 16;

/// Records of which some lack a date, a place or a sensor.
fn records(count: usize) -> Records {
    let one = |i: usize| {
        let record = Record::new().gsd_m(10.0 + i as f64);
        let record = if i.is_multiple_of(3) {
            record
        } else {
            record.lat_deg(i as f64 % 80.0).lon_deg(3.0 * i as f64 % 180.0)
        };
        let record = if i.is_multiple_of(4) {
            record
        } else {
            record.date(2016 + (i % 9) as i32, 1 + (i % 12) as i32, 7)
        };
        if i.is_multiple_of(5) { record } else { record.sensor((i % 3) as u32) }
    };
    Records::from_records(&(0..count).map(one).collect::<Vec<_>>()).expect("records")
}

#[test]
fn features_are_those_of_the_twin_and_gradients_reach_what_is_learned() {
    let (device, gpu) = training();
    let tables = IdTables { sensor: 3, ..Default::default() };
    for count in [1, 7, 300] {
        let records = records(count);
        let plan = Plan::gtca(&tables).expect("a plan");
        let mut encoder = MetadataEncoder::new(&gpu, plan, &device).expect("an encoder");
        let arena = random::<1>(1, [encoder.plan().arena_len() as usize], &device);
        encoder.arena = Some(burn::module::Param::from_tensor(arena.clone()));
        let features = encoder.forward(upload(&records, &device));
        let expected = twin::forward(encoder.plan(), &records, &values(arena), &[]);
        let shape = [count, encoder.width()];
        let expected = Tensor::from_data(TensorData::new(expected, shape), &device);
        assert_close("features", 16, features.clone(), expected);

        let weights = random::<2>(2, shape, &device);
        let grads = (features * weights.clone()).sum().backward();
        let parameters = encoder.arena.as_ref().expect("parameters").val();
        let darena = parameters.grad(&grads).expect("a gradient");
        let expected =
            twin::arena_gradient(encoder.plan(), &records, &values(parameters), &[], &values(weights));
        let expected = Tensor::<1>::from_floats(expected.as_slice(), &device);
        assert_close("darena", count, darena.inner(), expected.inner());
    }
}

#[test]
fn ladders_equal_those_of_burns_own_ops() {
    let (device, gpu) = training();
    let frequency = |i: usize| 100f64.powf(-(i as f64) / FREQUENCIES as f64);
    let ladder = |source| {
        let wave = |i| Wave::new(source, frequency(i) / std::f64::consts::TAU);
        let waves = Waves::new().ladder(Order::Split, 1.0, (0..FREQUENCIES).map(wave));
        Block::Waves { name: "ladder", waves, validity: false }
    };
    let plan = Plan::new(&[ladder(Source::LatDeg), ladder(Source::LonDeg)]).expect("a plan");
    let encoder = MetadataEncoder::new(&gpu, plan, &device).expect("an encoder");
    assert!(encoder.arena.is_none(), "nothing is learned");
    let places: Vec<[f32; 2]> = (0..100).map(|i| [i as f32 / 2.0 - 25.0, i as f32 - 50.0]).collect();
    let record = |[lat, lon]: &[f32; 2]| Record::new().lat_deg(f64::from(*lat)).lon_deg(f64::from(*lon));
    let records = Records::from_records(&places.iter().map(record).collect::<Vec<_>>()).expect("records");
    let ours = encoder.forward(upload(&records, &device));

    let frequencies: Vec<f32> = (0..FREQUENCIES).map(|i| frequency(i) as f32).collect();
    let frequencies = Tensor::<1>::from_floats(frequencies.as_slice(), &device).reshape([1, 1, FREQUENCIES]);
    let places = TensorData::new(places.concat(), [100, 2, 1]);
    let angles = Tensor::<3>::from_data(places, &device) * frequencies;
    let theirs = Tensor::cat(vec![angles.clone().sin(), angles.cos()], 2).reshape([100, 4 * FREQUENCIES]);
    // Burn's angles are rounded to f32 at up to 50 radians.
    assert_close("features", 128, ours, theirs);
}

#[test]
fn a_plan_of_tokens_is_refused_when_the_encoder_is_made() {
    let (device, gpu) = training();
    let waves = Waves::new().ladder(Order::Split, 1.0, [Wave::new(Source::Given(0), 1.0)]);
    let plan = Plan::new(&[Block::Waves { name: "given", waves, validity: false }]).expect("a plan");
    let error = MetadataEncoder::new(&gpu, plan, &device).expect_err("given columns");
    assert!(error.to_string().contains("given"), "{error}");
}
