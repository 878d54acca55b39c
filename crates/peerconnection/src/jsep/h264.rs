//! H.264 profiles as `profile-level-id` writes them (RFC 6184 section 8.1).

/// The profiles that are told apart when codecs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
}

/// A `profile-level-id`: three bytes in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProfileLevel {
    idc: u8,
    constraints: u8,
    level: u8,
}

impl ProfileLevel {
    /// RFC 6184 section 8.1: "If no profile-level-id is present, the Baseline profile, without additional
    /// constraints at Level 1, MUST be inferred."
    const MISSING: Self = Self {
        idc: 0x42,
        constraints: 0,
        level: 10,
    };

    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else {
            return Some(Self::MISSING);
        };
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, idc, constraints, level] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        Some(Self {
            idc,
            constraints,
            level,
        })
    }

    /// RFC 6184 table 5: combinations of profile_idc and profile-iop that stand for the same profile.
    pub(crate) fn profile(self) -> Option<Profile> {
        let set = |bits: u8| self.constraints & bits == bits;
        match self.idc {
            0x42 if set(0x40) => Some(Profile::ConstrainedBaseline),
            0x42 => Some(Profile::Baseline),
            0x4d if set(0x80) => Some(Profile::ConstrainedBaseline),
            0x4d => Some(Profile::Main),
            0x58 if set(0xc0) => Some(Profile::ConstrainedBaseline),
            0x58 if set(0x80) => Some(Profile::Baseline),
            0x64 if set(0x0c) => Some(Profile::ConstrainedHigh),
            0x64 => Some(Profile::High),
            _ => None,
        }
    }

    /// The lower of two levels, written with the profile of `self`.
    pub(crate) fn at_most(self, other: Self) -> Self {
        Self {
            level: self.level.min(other.level),
            ..self
        }
    }
}

impl std::fmt::Display for ProfileLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.idc, self.constraints, self.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_known_by_all_their_spellings() {
        let profile = |text| ProfileLevel::parse(Some(text)).and_then(ProfileLevel::profile);
        for text in ["42e01f", "42c00a", "4de01f", "58f01f", "42E034"] {
            assert_eq!(profile(text), Some(Profile::ConstrainedBaseline), "{text}");
        }
        assert_eq!(profile("42001f"), Some(Profile::Baseline));
        assert_eq!(profile("4d001f"), Some(Profile::Main));
        assert_eq!(profile("640c1f"), Some(Profile::ConstrainedHigh));
        assert_eq!(profile("64001f"), Some(Profile::High));
        assert_eq!(
            ProfileLevel::parse(None).and_then(ProfileLevel::profile),
            Some(Profile::Baseline)
        );
        for text in ["", "42e0", "42e01f00", "42e0zz", "é2e01"] {
            assert_eq!(profile(text), None, "{text}");
        }
    }
}
