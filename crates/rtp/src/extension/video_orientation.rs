//! Coordination of video orientation (3GPP TS 26.114, section 7.4.5): `0 0 0 0 C F R1 R0`.

/// How far the receiver turns the picture, clockwise, to show it upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Not at all.
    Deg0,
    /// A quarter turn.
    Deg90,
    /// Half a turn.
    Deg180,
    /// Three quarters of a turn.
    Deg270,
}

/// The orientation of the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoOrientation {
    /// Whether the picture is of a camera at the back of the device.
    pub back_camera: bool,
    /// Whether the picture is mirrored.
    pub flipped: bool,
    /// The rotation.
    pub rotation: Rotation,
}

impl VideoOrientation {
    /// Reads the element.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let [byte] = data else { return None };
        let rotation = match byte & 3 {
            0 => Rotation::Deg0,
            1 => Rotation::Deg90,
            2 => Rotation::Deg180,
            _ => Rotation::Deg270,
        };
        Some(Self {
            back_camera: byte & 8 != 0,
            flipped: byte & 4 != 0,
            rotation,
        })
    }

    /// The element.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 1] {
        [u8::from(self.back_camera) << 3 | u8::from(self.flipped) << 2 | self.rotation as u8]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_all_sixteen() {
        for byte in 0..16 {
            assert_eq!(VideoOrientation::parse(&[byte]).unwrap().to_bytes(), [byte]);
        }
        assert_eq!(
            VideoOrientation::parse(&[0xf1]).unwrap().rotation,
            Rotation::Deg90
        );
        assert_eq!(VideoOrientation::parse(&[]), None);
    }
}
