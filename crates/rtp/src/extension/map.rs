//! Which id stands for which extension in a session (RFC 8285, section 5).

use crate::extension::ExtensionKind;

/// The ids of the negotiated extensions, in both directions of the lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionMap {
    /// The id of each kind, 0 when it is not negotiated.
    ids: [u8; ExtensionKind::ALL.len()],
}

impl ExtensionMap {
    /// A map without extensions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Maps `uri` to `id` and answers whether the URI is a known one and the id a legal one.
    ///
    /// RFC 8285, section 4.1.2: "The ID value 0 is reserved for padding and MUST NOT be used as a local
    /// identifier."
    pub fn insert(&mut self, uri: &str, id: u8) -> bool {
        match ExtensionKind::from_uri(uri) {
            Some(kind) if id != 0 => {
                self.set(kind, id);
                true
            }
            _ => false,
        }
    }

    /// Maps `kind` to `id`; another kind that had this id loses it. Id 0 unmaps.
    pub fn set(&mut self, kind: ExtensionKind, id: u8) {
        for other in &mut self.ids {
            if *other == id {
                *other = 0;
            }
        }
        self.ids[kind as usize] = id;
    }

    /// The id of `kind`.
    #[must_use]
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        Some(self.ids[kind as usize]).filter(|id| *id != 0)
    }

    /// The kind of `id`.
    #[must_use]
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        ExtensionKind::ALL
            .into_iter()
            .find(|kind| self.id(*kind) == Some(id))
    }

    /// The mapped extensions.
    pub fn iter(&self) -> impl Iterator<Item = (ExtensionKind, u8)> + '_ {
        ExtensionKind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, self.id(kind)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_kinds_find_each_other() {
        let mut map = ExtensionMap::new();
        assert!(map.insert("urn:ietf:params:rtp-hdrext:sdes:mid", 4));
        assert!(map.insert("urn:ietf:params:rtp-hdrext:toffset", 14));
        assert!(!map.insert("urn:example:unknown", 5));
        assert!(!map.insert("urn:3gpp:video-orientation", 0));
        assert_eq!(map.id(ExtensionKind::Mid), Some(4));
        assert_eq!(map.kind(14), Some(ExtensionKind::TimestampOffset));
        assert_eq!(map.kind(0), None);
        assert_eq!(map.id(ExtensionKind::Rid), None);
        assert_eq!(map.iter().count(), 2);
        map.set(ExtensionKind::Rid, 4);
        assert_eq!(
            (map.id(ExtensionKind::Mid), map.kind(4)),
            (None, Some(ExtensionKind::Rid))
        );
    }
}
