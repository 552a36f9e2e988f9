//! Marionette, the remote control built into Firefox, spoken directly.
//!
//! Messages are JSON arrays with their length in front, `17:[0,1,"name",{}]`: `[0, id, name,
//! parameters]` asks, `[1, id, error, result]` answers. Firefox speaks first, with one bare object.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::{Command, Remote};
use crate::error::{Error, Result};
use crate::wait::Timed;

/// For one command; page loads are limited to half of it by the session.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// The longest length prefix taken for one: just under a gigabyte.
const MAX_DIGITS: usize = 9;

/// A connection to a running Firefox.
pub(crate) struct Marionette {
    stream: TcpStream,
    last_id: u64,
    /// What Firefox says about itself.
    pub(crate) capabilities: Value,
}

impl Marionette {
    /// Connects, and opens a session.
    pub(crate) fn connect(firefox: SocketAddr) -> Result<Marionette> {
        let doing = Error::io(format!("connect to Marionette at {firefox}"));
        let stream = TcpStream::connect_timeout(&firefox, COMMAND_LIMIT).map_err(doing)?;
        let mut marionette = Marionette { stream, last_id: 0, capabilities: Value::Null };
        let greeting = marionette.read(Instant::now() + COMMAND_LIMIT)?;
        if greeting["marionetteProtocol"] != json!(3) {
            return Err(Error::malformed("Marionette", greeting));
        }
        let half = u64::try_from(COMMAND_LIMIT.as_millis() / 2).unwrap_or(u64::MAX);
        let wanted = json!({
            "timeouts": { "pageLoad": half, "script": half },
            // Tests with TLS make their certificates themselves.
            "acceptInsecureCerts": true,
        });
        let mut session = marionette.send("WebDriver:NewSession", &wanted)?;
        marionette.capabilities = session["capabilities"].take();
        Ok(marionette)
    }

    /// Runs a script of ours with the rights of the browser itself, and returns its result.
    pub(crate) fn privileged(&mut self, script: &str, args: &Value) -> Result<Value> {
        self.send("Marionette:SetContext", &json!({ "value": "chrome" }))?;
        let result = self.call(Command::ExecuteScript, json!({ "script": script, "args": args }));
        self.send("Marionette:SetContext", &json!({ "value": "content" }))?;
        result
    }

    fn send(&mut self, name: &str, parameters: &Value) -> Result<Value> {
        self.last_id += 1;
        let message = json!([0, self.last_id, name, parameters]).to_string();
        let bytes = format!("{}:{message}", message.len());
        self.stream.write_all(bytes.as_bytes()).map_err(Error::io(format!("send {name}")))?;
        let deadline = Instant::now() + COMMAND_LIMIT;
        loop {
            let mut answer = self.read(deadline)?;
            // An answer to an earlier command is one that came after its deadline.
            if answer[0] != json!(1) || answer[1] != json!(self.last_id) {
                continue;
            }
            return match answer[2].take() {
                Value::Null => Ok(answer[3].take()),
                error => Err(Error::Driver {
                    command: name.to_owned(),
                    message: format!("{}: {}", error["error"], error["message"]),
                }),
            };
        }
    }

    fn read(&mut self, deadline: Instant) -> Result<Value> {
        let bytes = read_message(&mut Timed { stream: &self.stream, deadline })
            .map_err(Error::io("read from Marionette"))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::malformed("Marionette", e))
    }
}

impl Remote for Marionette {
    fn call(&mut self, command: Command, parameters: Value) -> Result<Value> {
        let mut result = self.send(command.marionette(), &parameters)?;
        // Results that are not objects come wrapped in one.
        match result.as_object() {
            Some(object) if object.len() == 1 && object.contains_key("value") => {
                Ok(result["value"].take())
            }
            _ => Ok(result),
        }
    }
}

fn read_message(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut digits = String::new();
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        match byte[0] {
            b':' => break,
            digit if digit.is_ascii_digit() && digits.len() < MAX_DIGITS => {
                digits.push(char::from(digit));
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no length")),
        }
    }
    let length = digits.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let mut message = vec![0; length];
    from.read_exact(&mut message)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_says() {
        let mut stream = "4:null2:[]".as_bytes();
        assert_eq!(read_message(&mut stream).unwrap(), b"null");
        assert_eq!(read_message(&mut stream).unwrap(), b"[]");
    }

    #[test]
    fn a_message_without_a_length_is_an_error() {
        assert!(read_message(&mut "null".as_bytes()).is_err());
        assert!(read_message(&mut ":null".as_bytes()).is_err());
    }
}
