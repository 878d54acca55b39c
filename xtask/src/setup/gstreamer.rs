//! GStreamer's webrtcbin, with the bindings for the distribution's own Python.

use crate::run::command;

pub(crate) const PACKAGES: &[&str] = &[
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-nice",
    "gir1.2-gst-plugins-base-1.0",
    "gir1.2-gst-plugins-bad-1.0",
    "python3-gi",
];

const PROBE: &str = "\
import gi
for name in ('Gst', 'GstSdp', 'GstWebRTC'):
    gi.require_version(name, '1.0')
from gi.repository import Gst, GstSdp, GstWebRTC
Gst.init(None)
assert all(Gst.ElementFactory.find(name) for name in ('webrtcbin', 'nicesrc', 'dtlsdec', 'sctpenc'))
";

/// Whether the elements and the bindings are there.
pub(crate) fn there() -> bool {
    let mut probe = command("/usr/bin/python3", &["-c", PROBE]);
    probe.output().is_ok_and(|result| result.status.success())
}
