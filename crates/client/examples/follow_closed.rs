//! Writes sessions as they close, whatever becomes of the device meanwhile.
//!
//! `cargo run -p opof-client --example follow_closed -- https://dpu7:3443 ca.pem firewall.pem firewall.key`

use opof_client::{Client, ClientConfig, SubscribeConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let uri = args.next().unwrap_or_else(|| "http://localhost:3443".to_owned());
    let mut config = ClientConfig::new(uri);
    if let Some(ca) = args.next() {
        config = config.ca_pem(std::fs::read(ca)?);
    }
    if let (Some(certificate), Some(key)) = (args.next(), args.next()) {
        config = config.identity_pem(std::fs::read(certificate)?, std::fs::read(key)?);
    }

    // The device need not be there yet, and may go away and come back.
    let client = Client::connect_lazy(&config)?;
    let mut closed = client.subscribe_closed(SubscribeConfig::new().follow(true));
    loop {
        // An error that comes out here is one that no retry mends, such as a certificate that is not trusted.
        let session = closed.next().await?;
        let (inward, outward) = (session.inward, session.outward);
        println!("{} {} {} bytes in, {} out", session.id, session.close_code.name(), inward.bytes, outward.bytes);
    }
}
