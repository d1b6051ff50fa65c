//! S2:start-before-its-predecessor-is-finished, seed 75. Written by `procession replay --emit-test`.

#[test]
fn s2_start_before_its_predecessor_is_finished_seed_75() {
    procession_sim::must_hold(REPORT);
}

const REPORT: &str = r#"procession-failure 1
core 0.1.0
origin sim
mutant 5
verdict S2 start-before-its-predecessor-is-finished
detail key=Some(0) msg=1 partition=0 position=1 epoch=1 at=177000000: msg=Some(0) at position=Some(0) is not
shrunk from 68 faults, 45 messages to 1 faults, 2 messages in 88 runs
seed 75
[config]
order = key
sequence-keys = -
keyless = unordered
partitions = 1
limit-messages = 2
limit-bytes = 4000
limit-partition-messages = 2
limit-partition-bytes = 4000
low-water-percent = 100
key-messages = 4294967295
message-bytes-max = 256
window = 64
window-pool = 64
retry-attempts = 2
retry-first = 1000000
retry-max = 1000000
retry-jitter = 0
handler-timeout = 170000000
cancel-grace = 10000000
on-hung = abandon
stall-after = 233000000
parked-keys = 0
on-reset = stop
expired = run
commit-every = 1000000
commit-messages = 1
commit-first = 1000000
commit-max = 1000000
commit-jitter = 0
map-bytes = 0
dedupe-ids = 0
dedupe-age = 600000000000
letter-first = 1000000
letter-max = 1000000
letter-jitter = 0
session-first = 1000000
session-max = 1000000
session-jitter = 0
jitter-seed = 16813254078080969993
[world]
profile = swarm
model = jetstream
members = 1
messages = 2
keys = 11
lanes = 2
heal-at = 300000000
patience = 10000000000
ticks = 0
quantum = 1000000
lease = 600000000
concurrency = 4294967295
batch = 1
beat = 2000000000
crash-at = -
shake-at = -
audit = no
latency = 1000000
[workload]
publish at=0 number=10 identity=10 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
publish at=0 number=14 identity=14 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
[faults]
handler-hang 10 1
[inputs]
1000000 m0 start
1000000 m0 open partition=0 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=0 log-end=2 until=541000000
1000000 m0 poll cassdlkpwnrfggxcasdlkpwnrfgxt
2000000 m0 session partition=0 epoch=1 session=1 found=continues from=-
2000000 m0 poll casdlkpwnrfgxtca
3000000 m0 poll sdlkpwnrfgxtca
4000000 m0 poll sdlkpwnrfgxt
4000000 m0 offer partition=0 epoch=1 session=1 delivery=1 position=0 stamp=1 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=860a9f4d3586c43732447fe62831cc09 bytes=1 expires=- sequence=- quarantine=- message=0
4000000 m0 poll casddlkpwnrfgxcasdlkpwnrfgxt
5000000 m0 offer partition=0 epoch=1 session=1 delivery=2 position=1 stamp=2 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=400c4460a9e38450f9dc9b539596a75 bytes=1 expires=- sequence=- quarantine=- message=1
5000000 m0 poll casdlkpwnrfgxt
121000000 m0 extend partition=0 epoch=1 until=661000000
121000000 m0 poll casdlkpwnrfgxt
176000000 m0 timeout
176000000 m0 poll ccasdlkpwnrfgxcasdlkpwnrfgxttcasdlkpwnrfgxt
177000000 m0 settle token=4294967296 outcome=cancelled message=0
177000000 m0 poll casd
[outputs]
582f7433 aa62ab29 4e28ab32 14fed4bf a8b4295f ed33148c e566ef67 6db0f08b
2951b91b 891e09a2 c403ae45 68816186 8f0492cd 61475d07 da410c6f d99fe318
523d52a8
[digest]
b04e8dac60a43636
"#;
