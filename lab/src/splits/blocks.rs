//! Large spatial blocks: k-means of the distinct places on the unit sphere.

use crate::data::Place;

const ROUNDS: usize = 50;

/// Assigns every place to one of `count` clusters, numbered from west to east. Starts from the farthest-point
/// choice, so that nothing is random.
pub(super) fn spatial_blocks(places: &[Place], count: usize) -> Vec<i64> {
    let points: Vec<[f64; 3]> = places.iter().map(|p| unit_vector(*p)).collect();
    let mut distinct = points.clone();
    distinct.sort_by(|a, b| a.partial_cmp(b).expect("coordinates are finite"));
    distinct.dedup();
    let mut centres = first_centres(&distinct, count.min(distinct.len()));
    for _ in 0..ROUNDS {
        let mut sums = vec![[0.0; 3]; centres.len()];
        for point in &distinct {
            let sum = &mut sums[nearest(point, &centres)];
            (0..3).for_each(|i| sum[i] += point[i]);
        }
        let moved: Vec<_> = sums.iter().zip(&centres).map(|(s, c)| normalised(*s).unwrap_or(*c)).collect();
        if moved == centres {
            break;
        }
        centres = moved;
    }
    let longitude = |c: &[f64; 3]| c[1].atan2(c[0]);
    centres.sort_by(|a, b| longitude(a).total_cmp(&longitude(b)));
    points.iter().map(|p| nearest(p, &centres) as i64).collect()
}

fn unit_vector(place: Place) -> [f64; 3] {
    let (lat, lon) = (place.lat_deg.to_radians(), place.lon_deg.to_radians());
    [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
}

fn first_centres(points: &[[f64; 3]], count: usize) -> Vec<[f64; 3]> {
    let mut centres = vec![points[0]];
    while centres.len() < count {
        let gap = |p: &[f64; 3]| centres.iter().map(|c| distance(p, c)).fold(f64::INFINITY, f64::min);
        let farthest = points.iter().max_by(|a, b| gap(a).total_cmp(&gap(b))).expect("there are points");
        centres.push(*farthest);
    }
    centres
}

fn distance(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum()
}

fn nearest(point: &[f64; 3], centres: &[[f64; 3]]) -> usize {
    let by_distance =
        |a: &usize, b: &usize| distance(point, &centres[*a]).total_cmp(&distance(point, &centres[*b]));
    (0..centres.len()).min_by(by_distance).expect("there is a centre")
}

fn normalised(v: [f64; 3]) -> Option<[f64; 3]> {
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    (length > 0.0).then(|| v.map(|x| x / length))
}
