//! The limiter as a whole, in one process. How long one count takes is printed (`-- --nocapture`) and never asserted.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::*;
use crate::proxies::Address;

fn rates(read: &str) -> Rates {
    Rates { read: Some(read.parse().unwrap()), ..Rates::default() }
}

fn address(number: u32) -> Who {
    Who::Address(Address::V4(Ipv4Addr::from_bits(number)))
}

#[test]
fn callers_and_kinds_count_apart() {
    let limiter = Limiter::new(&rates("2/1h"), None);
    for who in [address(1), address(2), Who::Operator] {
        for left in [1, 0] {
            assert_eq!(limiter.admit(Class::Read, who).unwrap().unwrap().left, left);
        }
        let (refused, standing) = limiter.admit(Class::Read, who).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "RATE_LIMITED"));
        assert_eq!((standing.left, standing.more_in_s), (0, 1_800));
        assert!(limiter.admit(Class::Write, who).unwrap().is_some());
    }
}

#[test]
fn off_is_no_limit() {
    let limiter = Limiter::new(&Rates { read: None, ..Rates::default() }, None);
    for _ in 0..10_000 {
        assert_eq!(limiter.admit(Class::Read, Who::Operator).unwrap(), None);
    }
}

#[test]
fn a_refusal_names_the_limit_and_what_helps() {
    let limiter = Limiter::new(&rates("1/1m"), None);
    limiter.admit(Class::Read, Who::Operator).unwrap();
    let (refused, standing) = limiter.admit(Class::Read, Who::Operator).unwrap_err();
    assert_eq!(
        refused.fault().detail,
        "The limit `read` of 1 requests in 60 s for the platform owner is used up. Wait 60 s and send fewer; the \
         operator can raise it with `limits.read`."
    );
    let mut headers = HeaderMap::new();
    limiter.tell(standing, &mut headers);
    assert_eq!(headers[&POLICY], "\"read\";q=1;w=60");
    assert_eq!(headers[&LIMIT], "\"read\";r=0;t=60");
}

#[test]
fn however_many_come_the_memory_is_bounded_and_the_busy_are_remembered() {
    let limiter = Limiter::new(&Rates { buckets_max: 1_000, ..rates("50/24h") }, None);
    let busy = Who::Operator;
    let mut admitted = 0;
    for number in 0..200_000 {
        limiter.admit(Class::Read, address(number)).unwrap();
        admitted += usize::from(number % 20 == 0 && limiter.admit(Class::Read, busy).is_ok());
    }
    assert!(limiter.buckets.len() <= 1_000, "{}", limiter.buckets.len());
    assert_eq!(admitted, 50, "whoever asks all the time is not forgotten for those who come once");
}

#[test]
fn the_cost_of_a_count_is_printed() {
    const ROUNDS: u32 = 1_000_000;
    let limiter = Limiter::new(&rates("1000000/1s"), None);
    for callers in [1, 10_000] {
        let begin = Instant::now();
        let admitted =
            (0..ROUNDS).filter(|n| limiter.admit(Class::Read, address(n % callers)).is_ok()).count();
        let each = begin.elapsed() / ROUNDS;
        assert!(admitted > 0);
        // Straight to the standard error, so that it is no line of the program's own output.
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("{callers} callers: {each:?} for each count\n"),
        );
    }
}
