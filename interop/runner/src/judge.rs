//! When a measured echo counts as heard and seen.

use serde_json::Value;

/// The tone that every peer sends.
const TONE: f64 = 440.0;

/// Most of what was heard after the first second is the tone, loud enough to hear.
pub fn tone(measured: &Value) -> Result<String, String> {
    let heard = measured["heard"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let judged = heard.get(10..).unwrap_or_default();
    let good = |sound: &&Value| {
        let value = |name: &str| sound[name].as_f64().unwrap_or(f64::NEG_INFINITY);
        (value("frequency") - TONE).abs() < 15.0 && value("level") > -50.0 && value("share") > 0.5
    };
    let count = judged.iter().filter(good).count();
    if judged.len() < 10 || count * 10 < judged.len() * 8 {
        let last: Vec<_> = heard.iter().rev().take(3).collect();
        return Err(format!(
            "the tone was heard in {count} of {} moments; last: {last:?}",
            judged.len()
        ));
    }
    Ok(format!("heard {count}/{}", judged.len()))
}

/// Frames of the right codec were decoded the whole time, with no gap over a second.
pub fn picture(measured: &Value, codec: &str, seconds: f64) -> Result<String, String> {
    let frames = measured["frames"].as_f64().unwrap_or(0.0);
    let gap = measured["longestGap"].as_f64().unwrap_or(f64::INFINITY);
    let mime = measured["codec"].as_str().unwrap_or_default();
    if !mime.eq_ignore_ascii_case(&format!("video/{codec}")) {
        return Err(format!("the codec is {mime:?}, not {codec}: {measured}"));
    }
    if gap > 1.0 {
        return Err(format!("the picture stood still for {gap:.1} s: {measured}"));
    }
    if frames < seconds * 10.0 {
        return Err(format!("{frames} frames in {seconds} s: {measured}"));
    }
    Ok(format!("{:.0} fps, gap {gap:.2} s", frames / seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn silence_and_another_tone_do_not_pass() {
        let moment =
            |frequency: f64, level: f64| json!({"frequency": frequency, "level": level, "share": 0.9});
        let heard = |moment: Value| json!({"heard": vec![moment; 30]});
        assert!(tone(&heard(moment(441.0, -20.0))).is_ok());
        assert!(tone(&heard(moment(441.0, -90.0))).is_err());
        assert!(tone(&heard(moment(880.0, -20.0))).is_err());
        assert!(tone(&json!({"heard": []})).is_err());
    }

    #[test]
    fn a_frozen_picture_does_not_pass() {
        let seen = |frames: u32, gap: f64| json!({"frames": frames, "longestGap": gap, "codec": "video/VP8"});
        assert!(picture(&seen(300, 0.2), "VP8", 10.0).is_ok());
        assert!(picture(&seen(300, 1.2), "VP8", 10.0).is_err());
        assert!(picture(&seen(10, 0.9), "VP8", 10.0).is_err());
        assert!(picture(&seen(300, 0.2), "AV1", 10.0).is_err());
    }
}
