//! Ids of places on the host, S2 cells and squares of MGRS, against published values and against independent libraries.

use geoconvert::LatLon;
use gtca::common::rng::draw4;
use gtca::records::{MgrsSquare, S2Cell};
use s2::{cellid::CellID, latlng::LatLng};

/// Random places all over the sphere's coordinates, poles and antimeridian too.
fn places(count: u64) -> impl Iterator<Item = [f64; 2]> {
    (0..count).map(|id| {
        let [lat, lon, ..] = draw4(3, 1, id, 0, 0).map(|word| f64::from(word) / 4_294_967_296.0);
        [lat * 180.0 - 90.0, lon * 360.0 - 180.0]
    })
}

#[test]
fn cells_have_the_ids_that_s2s_own_tests_list() {
    // (id, latitude, longitude) of leaf cells in the tests of github.com/golang/geo, there with nine decimals: good for
    // some millimetres, so that the cells agree down to level 25.
    for (id, lat, lon) in [
        (0x47a1_cbd5_9552_2b39, 49.703_498_679, 11.770_681_595),
        (0x4652_5318_b63b_e0f9, 55.685_376_759, 12.588_490_937),
        (0x52b3_0b71_698e_729d, 45.486_546_517, -93.449_700_022),
        (0x46ed_8886_cfad_da85, 58.299_984_854, 23.049_300_056),
        (0x3663_f18a_24cb_e857, 34.364_439_040, 108.330_699_969),
        (0x010a_06c0_a948_cf5d, -30.694_551_352, -30.048_758_753),
        (0x2b2b_fd07_6787_c5df, -25.285_264_027, 133.823_116_966),
        (0xb09d_ff88_2a78_09e1, -75.000_000_031, 0.000_000_133),
    ] {
        let (listed, found) = (S2Cell::from_id(id).unwrap(), S2Cell::at(lat, lon, 30).unwrap());
        assert_eq!((listed.level(), listed.id()), (30, id));
        assert_eq!(found.parent(22), listed.parent(22), "{lat} {lon}");
    }
}

#[test]
fn cells_equal_those_of_an_independent_library_at_every_level() {
    for [lat, lon] in places(20_000) {
        let leaf = CellID::from(LatLng::from_degrees(lat, lon));
        for level in [0, 1, 2, 5, 8, 13, 20, 24] {
            let cell = S2Cell::at(lat, lon, level).unwrap();
            assert_eq!(cell.id(), leaf.parent(level.into()).0, "{lat} {lon} at level {level}");
            assert_eq!(S2Cell::from_id(cell.id()).unwrap(), cell);
            assert_eq!(cell.face(), u32::from(leaf.face()));
            assert_eq!(cell.token(), leaf.parent(level.into()).to_token());
        }
    }
}

#[test]
fn a_pole_and_both_sides_of_the_antimeridian_are_one_place() {
    for level in 0..=30 {
        let cell = |lat, lon| S2Cell::at(lat, lon, level).unwrap();
        for lon in [-180.0, -77.0, 0.0, 12.5, 180.0] {
            assert_eq!(cell(90.0, lon), cell(90.0, 0.0));
            assert_eq!(cell(-90.0, lon), cell(-90.0, 0.0));
        }
        assert_eq!(cell(12.0, 180.0), cell(12.0, -180.0));
    }
    let faces = [(0.0, 0.0), (0.0, 90.0), (90.0, 0.0), (0.0, 180.0), (0.0, -90.0), (-90.0, 0.0)];
    for (face, (lat, lon)) in (0..).zip(faces) {
        assert_eq!(S2Cell::at(lat, lon, 5).unwrap().face(), face);
    }
}

#[test]
fn what_is_no_cell_is_refused_by_name() {
    let message = |cell: Result<S2Cell, gtca::Error>| cell.unwrap_err().to_string();
    assert!(message(S2Cell::at(90.1, 0.0, 3)).contains("`lat_deg` is 90.1"));
    assert!(message(S2Cell::at(0.0, f64::NAN, 3)).contains("`lon_deg`"));
    assert!(message(S2Cell::at(0.0, 0.0, 31)).contains("`level` is 31"));
    for id in [0, 2, 0xc000_0000_0000_0001, u64::MAX - 1] {
        assert!(message(S2Cell::from_id(id)).contains("`id`"), "{id:x}");
    }
}

#[test]
fn squares_have_the_names_that_are_published() {
    for (lat, lon, name) in [
        // Where the equator meets Greenwich; Honolulu, the examples of Wikipedia's article on MGRS.
        (0.0, 0.0, "31NAA"),
        (21.309_444, -157.916_861, "04QFJ"),
        // GeographicLib's manual: 38n 444500 3688500, and Cape Morris Jesup.
        (33.3336, 44.4040, "38SMB"),
        (83.627, -32.664, "25XEN"),
        // Sentinel-2 tiles: Zurich, Cologne, Bergen in Norway's wide zone, Longyearbyen in Svalbard's.
        (47.3769, 8.5417, "32TMT"),
        (50.9375, 6.9603, "32ULB"),
        (60.3913, 5.3221, "32VKN"),
        (78.2232, 15.6267, "33XWG"),
    ] {
        let square = MgrsSquare::at(lat, lon).unwrap();
        assert_eq!(square.to_string(), name);
        assert_eq!(name.parse::<MgrsSquare>().unwrap(), square);
        assert_eq!(format!("T{name}").parse::<MgrsSquare>().unwrap().number(), square.number());
    }
}

#[test]
fn squares_equal_those_of_an_independent_library() {
    let edges = [0.0, 3.0, 6.0, 9.0, 12.0, 21.0, 33.0, 41.9, 42.0, 179.999_999, 180.0, -180.0];
    // On the equator itself the library panics, and a band's border it may give to the band below.
    let lats =
        [-79.999, -72.001, -71.999, -0.001, 0.001, 55.999, 56.001, 63.999, 64.001, 71.999, 72.001, 83.999];
    let at_edges = lats.iter().flat_map(|&lat| edges.map(|lon| [lat, lon]));
    let random = places(30_000).filter(|[lat, _]| (-80.0..84.0).contains(lat));
    let mut numbers = std::collections::BTreeMap::new();
    for [lat, lon] in at_edges.chain(random) {
        let square = MgrsSquare::at(lat, lon).unwrap();
        // The library has no 180°.
        let full =
            LatLon::create(lat, if lon == 180.0 { -180.0 } else { lon }).unwrap().to_mgrs(1).to_string();
        let name = format!("{full:0>7}");
        assert_eq!(square.to_string(), name[..5], "{lat} {lon}");
        assert_eq!(square.to_string().parse::<MgrsSquare>().unwrap(), square);
        assert!(square.number() < MgrsSquare::COUNT);
        // One number, one square: names may differ by the band's letter only.
        let key = [&name[..2], &name[3..5]].concat();
        let (south, other) = numbers.entry(square.number()).or_insert((lat, key.clone()));
        assert!(*other == key && (*south - lat).abs() < 2.0, "{lat} {lon}");
    }
}

#[test]
fn borders_belong_to_the_band_and_zone_that_they_open() {
    for (lat, lon, zone) in [
        (-80.0, -180.0, "01C"),
        (0.0, 180.0, "01N"),
        (56.0, 3.0, "32V"),
        (56.0, 2.999_999, "31V"),
        (64.0, 3.0, "31W"),
        (72.0, 9.0, "33X"),
        (72.0, 21.0, "35X"),
        (83.999_999, 33.0, "37X"),
        (72.0, 42.0, "38X"),
        (71.999_999, 9.0, "32W"),
    ] {
        let name = MgrsSquare::at(lat, lon).unwrap().to_string();
        assert_eq!(name[..3], *zone, "{lat} {lon}");
    }
}

#[test]
fn what_is_no_square_is_refused_by_name() {
    let message = |square: Result<MgrsSquare, gtca::Error>| square.unwrap_err().to_string();
    for lat in [84.0, 90.0, -80.000_001, f64::NAN] {
        assert!(message(MgrsSquare::at(lat, 0.0)).contains("`lat_deg`"), "{lat}");
    }
    assert!(message(MgrsSquare::at(0.0, 180.1)).contains("`lon_deg`"));
    let names = ["", "32", "00TMT", "61TMT", "32IMT", "32TAT", "32TMI", "32TMA", "32tmt", "é2TMT", "TMT"];
    assert_eq!("2NKF".parse::<MgrsSquare>().unwrap().to_string(), "02NKF");
    let beside_svalbard = ["32XNG", "34XEM", "36XVM"];
    for name in names.into_iter().chain(["032TMT", "+2NKF", " 2NKF", "T2NKF "]).chain(beside_svalbard) {
        assert!(message(name.parse()).contains("`square`"), "{name}");
    }
}
