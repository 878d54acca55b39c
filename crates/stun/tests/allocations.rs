//! Parsing, verifying and writing into a buffer with room allocate nothing.

use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer};

#[test]
fn a_check_and_its_answer_allocate_nothing() {
    let key = IntegrityKey::short_term("VOkJxbRl1RmTxUk/WvJxBt");
    let mut request = Vec::with_capacity(500);
    let mut response = Vec::with_capacity(500);
    let counted = allocation_counter::measure(|| {
        Writer::new(
            &mut request,
            Class::Request,
            Method::BINDING,
            TransactionId([7; 12]),
        )
        .username(b"evtj:h6vY")
        .priority(1)
        .ice_controlling(2)
        .use_candidate()
        .integrity(&key)
        .fingerprint()
        .finish();
        let message = Message::parse(&request).unwrap();
        assert_eq!(message.verify_fingerprint(), Some(true));
        assert_eq!(message.verify_integrity(&key), Ok(()));
        // PRIORITY and USE-CANDIDATE; USERNAME is of RFC 8489.
        assert_eq!(message.unknown_required(&[]).count(), 2);
        Writer::success(&mut response, &message)
            .xor_mapped_address(([192, 0, 2, 1], 5000).into())
            .integrity_sha256(&key)
            .fingerprint();
        assert_eq!(Message::parse(&response).unwrap().verify_integrity(&key), Ok(()));
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
