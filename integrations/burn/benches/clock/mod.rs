//! Processor time, which says more than the clock on a busy machine.

/// Processor time of all threads so far, as Linux counts it; elsewhere 0.
pub(crate) fn cpu_ms() -> f64 {
    let of_thread = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.filter_map(of_thread).sum::<f64>() * 1e-6
}
