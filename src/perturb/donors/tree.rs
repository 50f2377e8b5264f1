//! Places in a tree of boxes, for the nearest one and for a drawn one of those within a range of distances.
//!
//! Points are unit vectors in integers and distances squared chords, so that every platform finds the same.

use crate::common::geodesy::Place;
use crate::common::projection::unit_vector;

/// Binary digits of a point's coordinates: 6 mm of ground. Squared chords stay below 2⁶⁴.
const DIGITS: u32 = 30;
/// Points of a leaf at most.
const LEAF: usize = 8;

/// A unit vector.
pub(super) type Point = [i64; 3];

/// The point of a place.
pub(super) fn point(place: Place) -> Point {
    let half = 1 << (55 - DIGITS);
    unit_vector(place.lat, place.lon).map(|coordinate| (coordinate + half) >> (56 - DIGITS))
}

fn chord(a: &Point, b: &Point) -> u64 {
    (0..3).map(|i| a[i].abs_diff(b[i]).pow(2)).sum()
}

/// Squared chords from `least` to `most`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    least: u64,
    most: u64,
}

impl Ring {
    /// Distances between two angles in radians; the same point is never among them.
    pub(super) fn of_angles([from, to]: [f64; 2]) -> Self {
        let chord = |angle: f64| (2.0 * (angle / 2.0).min(std::f64::consts::FRAC_PI_2).sin()).powi(2);
        let scale = f64::from(1u32 << DIGITS).powi(2);
        // Rounding may leave antipodes a few units beyond 2.
        let most = if to >= std::f64::consts::PI { u64::MAX } else { (chord(to) * scale) as u64 };
        Self { least: ((chord(from) * scale).ceil() as u64).max(1), most }
    }

    fn contains(&self, chord: u64) -> bool {
        (self.least..=self.most).contains(&chord)
    }
}

/// Points with a number each.
#[derive(Debug)]
pub(super) struct Tree {
    points: Vec<(Point, u32)>,
    /// The box (lowest, highest corner) around each node's points; node n has the children 2n + 1 and 2n + 2.
    boxes: Vec<[Point; 2]>,
}

/// A node and its range of points.
#[derive(Clone, Copy)]
struct Node {
    number: usize,
    from: usize,
    to: usize,
}

impl Node {
    fn len(&self) -> usize {
        self.to - self.from
    }

    fn halves(&self) -> [Self; 2] {
        let middle = self.from + self.len() / 2;
        let number = 2 * self.number + 1;
        [Self { number, to: middle, ..*self }, Self { number: number + 1, from: middle, ..*self }]
    }
}

impl Tree {
    /// Takes points whose order, as their numbers, breaks ties.
    pub(super) fn new(points: Vec<(Point, u32)>) -> Self {
        let mut tree = Self { points, boxes: Vec::new() };
        tree.build(tree.root());
        tree
    }

    fn root(&self) -> Node {
        Node { number: 0, from: 0, to: self.points.len() }
    }

    fn build(&mut self, node: Node) {
        let points = &mut self.points[node.from..node.to];
        let mut corners = [[i64::MAX; 3], [i64::MIN; 3]];
        for (point, _) in points.iter() {
            for axis in 0..3 {
                corners[0][axis] = corners[0][axis].min(point[axis]);
                corners[1][axis] = corners[1][axis].max(point[axis]);
            }
        }
        if self.boxes.len() <= node.number {
            self.boxes.resize(node.number + 1, corners);
        }
        self.boxes[node.number] = corners;
        if node.len() > LEAF {
            let width = |axis: &usize| corners[1][*axis] - corners[0][*axis];
            let axis = (0..3).max_by_key(width).expect("space has axes");
            let middle = points.len() / 2;
            points.select_nth_unstable_by_key(middle, |(point, number)| (point[axis], *number));
            node.halves().into_iter().for_each(|half| self.build(half));
        } else {
            points.sort_unstable_by_key(|(_, number)| *number);
        }
    }

    /// Squared chords from a point to the nearest and farthest corner of a node's box, or beyond.
    fn reach(&self, node: &Node, from: &Point) -> [u64; 2] {
        let [low, high] = &self.boxes[node.number];
        let mut reach = [0; 2];
        for axis in 0..3 {
            let (below, above) = (low[axis] - from[axis], from[axis] - high[axis]);
            reach[0] += (below.max(above).max(0) as u64).pow(2);
            reach[1] += (below.abs().max(above.abs()) as u64).pow(2);
        }
        reach
    }

    /// How many points lie in a ring around one.
    pub(super) fn count(&self, from: &Point, ring: Ring) -> u64 {
        let mut rest = u64::MAX;
        self.pass(self.root(), from, ring, &mut rest);
        u64::MAX - rest
    }

    /// The number of the n-th point of a ring, from 0, in the tree's order.
    pub(super) fn nth(&self, from: &Point, ring: Ring, n: u64) -> Option<u32> {
        self.pass(self.root(), from, ring, &mut { n })
    }

    /// Passes over `rest` points of the ring and returns the next.
    fn pass(&self, node: Node, from: &Point, ring: Ring, rest: &mut u64) -> Option<u32> {
        if node.len() == 0 {
            return None;
        }
        let [near, far] = self.reach(&node, from);
        if far < ring.least || near > ring.most {
            return None;
        }
        if ring.contains(near) && ring.contains(far) && *rest >= node.len() as u64 {
            *rest -= node.len() as u64;
            return None;
        }
        if node.len() > LEAF {
            return node.halves().into_iter().find_map(|half| self.pass(half, from, ring, rest));
        }
        for (point, number) in &self.points[node.from..node.to] {
            if ring.contains(chord(from, point)) {
                if *rest == 0 {
                    return Some(*number);
                }
                *rest -= 1;
            }
        }
        None
    }

    /// The nearest point of a ring, of equally near ones the one with the lowest number.
    pub(super) fn nearest(&self, from: &Point, ring: Ring) -> Option<u32> {
        let mut best = None;
        self.approach(self.root(), from, ring, &mut best);
        best.map(|(_, number)| number)
    }

    fn approach(&self, node: Node, from: &Point, ring: Ring, best: &mut Option<(u64, u32)>) {
        if node.len() == 0 {
            return;
        }
        let [near, far] = self.reach(&node, from);
        let is_late = best.is_some_and(|(chord, _)| near > chord);
        if is_late || far < ring.least || near > ring.most {
            return;
        }
        if node.len() > LEAF {
            let mut halves = node.halves();
            halves.sort_by_key(|half| self.reach(half, from)[0]);
            return halves.into_iter().for_each(|half| self.approach(half, from, ring, best));
        }
        for (point, number) in &self.points[node.from..node.to] {
            let found = (chord(from, point), *number);
            if ring.contains(found.0) && best.is_none_or(|best| found < best) {
                *best = Some(found);
            }
        }
    }
}
