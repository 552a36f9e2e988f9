//! Addresses that belong together.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bits of an IPv6 address that name a subscriber's network; what follows them a device chooses
/// as it likes, and a new one every day (RFC 4291 §2.5.4, RFC 8981).
const SUBSCRIBER: u8 = 64;

/// An address, or all addresses that begin with the same bits.
///
/// ```
/// use adieu::Cidr;
/// let private: Cidr = "10.0.0.0/8".parse()?;
/// assert!(private.contains("10.1.2.3".parse().unwrap()));
/// assert!(!private.contains("192.0.2.1".parse().unwrap()));
/// let one: Cidr = "2001:db8::1".parse()?;
/// assert_eq!(one.to_string(), "2001:db8::1/128");
/// # Ok::<(), adieu::CidrError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// Its further bits are zero.
    network: IpAddr,
    bits: u8,
}

/// Not an address, nor one with the number of its leading bits that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CidrError(String);

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no address or prefix such as 192.0.2.1 or 10.0.0.0/8", self.0)
    }
}

impl Error for CidrError {}

impl Cidr {
    /// The addresses whose first `bits` bits are those of `ip`: at most 32, or 128 for IPv6.
    fn new(ip: IpAddr, bits: u8) -> Self {
        // The shift by all bits, which is none left, is the one that an integer does not do.
        let network = match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        };
        Cidr { network, bits }
    }

    /// What one subscriber may be expected to have: an address of IPv4, a /64 of IPv6.
    pub(crate) fn of_subscriber(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip @ IpAddr::V4(_) => ip.into(),
            ip @ IpAddr::V6(_) => Cidr::new(ip, SUBSCRIBER),
        }
    }

    /// Whether an address is one of them. An IPv4 address that is written as one of IPv6
    /// (`::ffff:192.0.2.1`), as sockets of both kinds tell it, is that IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.network.is_ipv4() && Cidr::new(ip, self.bits).network == self.network
    }
}

impl From<IpAddr> for Cidr {
    fn from(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Cidr::new(ip, if ip.is_ipv4() { 32 } else { 128 })
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let error = || CidrError(text.chars().take(60).collect());
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| error())?;
        let Some(bits) = bits else { return Ok(ip.into()) };
        let digits = bits.bytes().all(|b| b.is_ascii_digit());
        let bits: u8 = bits.parse().map_err(|_| error())?;
        let max = if ip.is_ipv4() { 32 } else { 128 };
        if digits && bits <= max { Ok(Cidr::new(ip, bits)) } else { Err(error()) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hold_what_they_say() {
        for (cidr, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.77/31", "192.0.2.76", "192.0.2.78"),
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.0"),
            ("0.0.0.0/0", "203.0.113.7", "::1"),
            ("::/0", "2001:db8::1", "203.0.113.7"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::1", "::1", "::2"),
        ] {
            let parsed: Cidr = cidr.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{cidr} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{cidr} {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn what_is_none_is_said_so() {
        for text in ["", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0.0/+8", "10.0/8", "host"] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{text:?} is no address")), "{error}");
        }
    }
}
