//! The 48-bit index of an RTP packet from its 16-bit sequence number (RFC 3711, section 3.3.1, appendix A).

/// One more than the highest index: 2^48.
pub(crate) const INDEX_LIMIT: u64 = 1 << 48;

/// The index of `sequence` in a stream whose highest index so far is `highest`.
///
/// None: the packet would lie before the first or beyond the last index of the key.
///
/// RFC 3711, appendix A:
/// ```text
/// if (s_l < 32,768)
///     if (SEQ - s_l > 32,768)    set v to (ROC-1) mod 2^32
///     else                       set v to ROC
/// else
///     if (s_l - 32,768 > SEQ)    set v to (ROC+1) mod 2^32
///     else                       set v to ROC
/// ```
pub(crate) fn estimate_index(highest: u64, sequence: u16) -> Option<u64> {
    const HALF: i32 = 32_768;
    let (rollovers, last) = (highest >> 16, (highest & 0xffff) as i32);
    let number = i32::from(sequence);
    let rollovers = if last < HALF {
        if number - last > HALF {
            rollovers.checked_sub(1)?
        } else {
            rollovers
        }
    } else if last - HALF > number {
        rollovers + 1
    } else {
        rollovers
    };
    Some(rollovers << 16 | u64::from(sequence)).filter(|index| *index < INDEX_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_index_is_taken() {
        assert_eq!(estimate_index(100, 101), Some(101));
        assert_eq!(estimate_index(65_535, 0), Some(65_536));
        assert_eq!(estimate_index(65_536, 65_535), Some(65_535));
        assert_eq!(estimate_index(0, 65_535), None, "before the first index");
        assert_eq!(
            estimate_index(0, 32_768),
            Some(32_768),
            "half the space ahead still counts as newer"
        );
        assert_eq!(estimate_index(0, 32_769), None);
        assert_eq!(estimate_index(3 << 16 | 40_000, 7_232), Some(3 << 16 | 7_232));
        assert_eq!(estimate_index(3 << 16 | 40_000, 7_231), Some(4 << 16 | 7_231));
        assert_eq!(estimate_index(INDEX_LIMIT - 1, 0), None, "beyond the last index");
    }

    #[test]
    fn every_offset_below_half_the_space_is_right() {
        for base in [
            1 << 20,
            (1 << 20) + 1,
            (1 << 20) + 32_767,
            (1 << 20) + 32_768,
            (1 << 20) + 65_535,
        ] {
            for offset in -32_767..=32_767i64 {
                let truth = (base as i64 + offset) as u64;
                assert_eq!(estimate_index(base, truth as u16), Some(truth), "{base} {offset}");
            }
        }
    }
}
