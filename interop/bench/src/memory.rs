//! Resident memory of this process, as Linux tells it.

/// Now, in MB; `None` where the system does not say.
pub fn now() -> Option<f64> {
    field("VmRSS:")
}

/// At most so far, in MB.
pub fn peak() -> Option<f64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
