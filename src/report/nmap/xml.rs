//! nmap's XML, as its DTD and its readers (ndiff, Zenmap, python-libnmap) expect it.

use std::io;

use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::not_shown::{Collapsed, UnshownPorts, collapse};
use super::{NmapReport, PortRow, SPOKEN, Scan, ScannedHost};
use crate::net::Family;
use crate::probe::scan::Technique;
use crate::text::ci_escape::inert_markup;
use crate::text::escape::visible;

/// The version of the DTD that nmap 7.93 writes.
const OUTPUT_VERSION: &str = "1.05";

/// The report in nmap's XML.
pub fn xml(report: &NmapReport) -> String {
    let mut document = Document(Writer::new(Vec::new()));
    document.write(report).expect("writing to memory does not fail");
    let text = String::from_utf8(document.0.into_inner()).expect("what is written is UTF-8");
    inert_markup(&text).into_owned()
}

struct Document(Writer<Vec<u8>>);

/// Names and values of attributes, in nmap's order.
type XmlAttributes<'a> = &'a [(&'a str, &'a str)];

impl Document {
    fn write(&mut self, report: &NmapReport) -> io::Result<()> {
        self.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?.line()?;
        self.event(Event::DocType(BytesText::from_escaped("nmaprun")))?.line()?;
        self.event(Event::Comment(BytesText::from_escaped(escaped(&format!(" {} ", report.initiated())))))?.line()?;
        self.run_element(report)?;
        for scan in &report.scans {
            self.scan_info(scan)?;
        }
        self.empty("verbose", &[("level", &report.presentation.verbosity.to_string())])?.line()?;
        self.empty("debugging", &[("level", "0")])?.line()?;
        self.discovery(report)?;
        self.tasks(report)?;
        match report.host.reason.is_up() {
            true if report.shows_host() => self.host(report)?,
            false if report.shows_host() => self.host_down(&report.host)?,
            _ => {}
        }
        self.statistics(report)?;
        self.end("nmaprun")?.line()
    }

    fn run_element(&mut self, report: &NmapReport) -> io::Result<()> {
        let (start, start_text) = (report.start.seconds().to_string(), report.start.long());
        self.start(
            "nmaprun",
            &[
                ("scanner", "nmap"),
                ("args", &report.arguments()),
                ("start", &start),
                ("startstr", &start_text),
                ("version", SPOKEN),
                ("xmloutputversion", OUTPUT_VERSION),
            ],
        )?
        .line()
    }

    fn scan_info(&mut self, scan: &Scan) -> io::Result<()> {
        let (flags, count) = (scan.flags.map(|flags| flags.names().concat()), scan.ports.len().to_string());
        let (protocol, ports) = (scan.technique.protocol().to_string(), scan.ports.to_string());
        let flags = flags.as_deref().map(|flags| ("scanflags", flags)).filter(|_| scan.technique.name() != "udp");
        let mut attributes = vec![("type", scan.technique.name())];
        attributes.extend(flags);
        attributes.extend([("protocol", &*protocol), ("numservices", &count), ("services", &ports)]);
        self.empty("scaninfo", &attributes)?.line()
    }

    /// The elements that nmap writes as soon as a neighbour has answered.
    fn discovery(&mut self, report: &NmapReport) -> io::Result<()> {
        let Some(task) = report.host.reason.by_neighbour_discovery() else { return Ok(()) };
        let time = report.start.seconds().to_string();
        let is_reported = report.presentation.verbosity > 0;
        if is_reported {
            self.empty("taskbegin", &[("task", task), ("time", &time)])?.line()?;
        }
        if report.host.reason.is_up() {
            self.start("hosthint", &[])?.host_head(&report.host)?;
            self.end("hosthint")?.line()?;
        }
        if is_reported {
            self.empty("taskend", &[("task", task), ("time", &time), ("extrainfo", "1 total hosts")])?.line()?;
        }
        Ok(())
    }

    fn tasks(&mut self, report: &NmapReport) -> io::Result<()> {
        let is_reported = report.presentation.verbosity > 0 && report.host.reason.is_up();
        let reported = report.scans.iter().filter(|_| is_reported);
        let (begin, end) = (report.start.seconds().to_string(), report.end.seconds().to_string());
        for scan in reported {
            let (task, extra) = (task(scan.technique), format!("{} total ports", scan.ports.len()));
            self.empty("taskbegin", &[("task", &*task), ("time", &begin)])?.line()?;
            self.empty("taskend", &[("task", &*task), ("time", &end), ("extrainfo", &extra)])?.line()?;
        }
        Ok(())
    }

    fn host(&mut self, report: &NmapReport) -> io::Result<()> {
        let (start, end) = (report.start.seconds().to_string(), report.end.seconds().to_string());
        self.start("host", &[("starttime", &start), ("endtime", &end)])?.host_head(&report.host)?;
        let Collapsed { shown, ignored } = collapse(report);
        self.start("ports", &[])?;
        for ignored in &ignored {
            self.extra_ports(ignored)?;
        }
        for row in shown {
            self.port(row)?;
        }
        self.end("ports")?.line()?;
        self.end("host")?.line()
    }

    fn host_down(&mut self, host: &ScannedHost) -> io::Result<()> {
        self.start("host", &[])?.status(host)?;
        self.end("host")?.line()
    }

    fn status(&mut self, host: &ScannedHost) -> io::Result<()> {
        let state = if host.reason.is_up() { "up" } else { "down" };
        let status = [("state", state), ("reason", host.reason.as_str()), ("reason_ttl", "0")];
        self.empty("status", &status)?.line()?;
        let family = Family::from_address(host.address).to_string();
        self.empty("address", &[("addr", &host.address.to_string()), ("addrtype", &family)])?.line()
    }

    fn host_head(&mut self, host: &ScannedHost) -> io::Result<()> {
        self.status(host)?;
        if let Some(mac) = host.mac {
            let (mac, vendor) = (mac.to_string().to_uppercase(), host.vendor.as_deref().map(visible));
            let mut attributes = vec![("addr", &*mac), ("addrtype", "mac")];
            attributes.extend(vendor.as_deref().map(|vendor| ("vendor", vendor)));
            self.empty("address", &attributes)?.line()?;
        }
        self.start("hostnames", &[])?.line()?;
        self.end("hostnames")?.line()
    }

    fn extra_ports(&mut self, ignored: &UnshownPorts) -> io::Result<()> {
        let count = ignored.count.to_string();
        self.start("extraports", &[("state", ignored.state.as_str()), ("count", &count)])?.line()?;
        for group in &ignored.groups {
            let (count, ports) = (group.ports.len().to_string(), group.ports.to_string());
            let (protocol, reason) = (group.protocol.to_string(), group.reason.as_str());
            let attributes = [("reason", &*reason), ("count", &*count), ("proto", &*protocol), ("ports", &*ports)];
            self.empty("extrareasons", &attributes)?.line()?;
        }
        self.end("extraports")?.line()
    }

    fn port(&mut self, row: &PortRow) -> io::Result<()> {
        self.start("port", &[("protocol", &row.protocol.to_string()), ("portid", &row.port.to_string())])?;
        let (ttl, from) = (row.ttl.unwrap_or_default().to_string(), row.from.map(|address| address.to_string()));
        let reason = row.reason.as_str();
        let mut attributes = vec![("state", row.state.as_str()), ("reason", &*reason), ("reason_ttl", &*ttl)];
        attributes.extend(from.as_deref().map(|from| ("reason_ip", from)));
        self.empty("state", &attributes)?;
        if let Some(service) = row.service.as_deref().map(visible) {
            self.empty("service", &[("name", &service), ("method", "table"), ("conf", "3")])?;
        }
        self.end("port")?.line()
    }

    fn statistics(&mut self, report: &NmapReport) -> io::Result<()> {
        let (time, text) = (report.end.seconds().to_string(), report.end.long());
        let summary = format!("Nmap done at {text}; {}", report.summary());
        self.start("runstats", &[])?.empty(
            "finished",
            &[
                ("time", &time),
                ("timestr", &text),
                ("summary", &summary),
                ("elapsed", &report.elapsed()),
                ("exit", "success"),
            ],
        )?;
        let (up, down) = if report.host.reason.is_up() { ("1", "0") } else { ("0", "1") };
        self.empty("hosts", &[("up", up), ("down", down), ("total", "1")])?.line()?;
        self.end("runstats")?.line()
    }

    fn start(&mut self, name: &str, attributes: XmlAttributes) -> io::Result<&mut Self> {
        self.event(Event::Start(element(name, attributes)))
    }

    fn empty(&mut self, name: &str, attributes: XmlAttributes) -> io::Result<&mut Self> {
        self.event(Event::Empty(element(name, attributes)))
    }

    fn end(&mut self, name: &str) -> io::Result<&mut Self> {
        self.event(Event::End(BytesEnd::new(name)))
    }

    fn event(&mut self, event: Event) -> io::Result<&mut Self> {
        self.0.write_event(event)?;
        Ok(self)
    }

    fn line(&mut self) -> io::Result<()> {
        self.event(Event::Text(BytesText::from_escaped("\n"))).map(drop)
    }
}

fn element<'a>(name: &'a str, attributes: XmlAttributes) -> BytesStart<'a> {
    let escaped: Vec<(&str, String)> = attributes.iter().map(|(name, value)| (*name, escaped(value))).collect();
    let attributes = escaped.iter().map(|(name, value)| Attribute::from((name.as_bytes(), value.as_bytes())));
    BytesStart::new(name).with_attributes(attributes)
}

/// A comment must not hold two dashes in a row (XML 1.0, section 2.5), so nmap writes the second as a reference, in
/// attributes as well.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in escape(text).chars() {
        if c == '-' && previous == '-' {
            safe.push_str("&#45;")
        } else {
            safe.push(c)
        }
        previous = c;
    }
    safe
}

/// nmap's name of a technique in its progress messages.
fn task(technique: Technique) -> String {
    let title = technique.profile().title;
    match technique {
        Technique::Syn => "SYN Stealth Scan".to_owned(),
        Technique::Null | Technique::Xmas => format!("{} Scan", title.to_uppercase()),
        _ => format!("{title} Scan"),
    }
}
