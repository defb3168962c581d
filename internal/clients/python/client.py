"""Produces, consumes and administers with a Kafka client for Python.

    SLUICE_BROKER=127.0.0.1:9092 python client.py confluent|kafkapython|aiokafka

Exits with 0 if the broker did what the client asked, else with a message.
"""

import asyncio
import os
import sys
import time

BROKER = os.environ["SLUICE_BROKER"]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PER_CODEC = 100
TOTAL = PER_CODEC * len(CODECS)
PARTITIONS = 3


def message(i):
    return b"key %d" % (i % 11), b"value %d of a record that compresses, compresses well" % i


def check(got, first, last, what):
    want = sorted(message(i) for i in range(first, last))
    if sorted(got) != want:
        sys.exit(f"{what}: {len(got)} records came back that are not the {len(want)} produced")


def same(got, want, what):
    if got != want:
        sys.exit(f"{what}: {got!r}, want {want!r}")


def confluent(topic, group):
    from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

    admin = AdminClient({"bootstrap.servers": BROKER})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1, config={"retention.ms": "3600000"})])[topic].result(20)

    def produce(first, last, **settings):
        failed = []
        p = Producer({"bootstrap.servers": BROKER, "message.timeout.ms": 30000, **settings})
        for i in range(first, last):
            key, value = message(i)
            p.produce(topic, value, key, headers={"n": str(i)}, on_delivery=lambda e, m: failed.append(e) if e else None)
        same(p.flush(40), 0, "left in the queue")
        same(failed, [], "failed deliveries")

    def consume(count, **settings):
        c = Consumer({"bootstrap.servers": BROKER, "group.id": group, "auto.offset.reset": "earliest",
                      "enable.auto.commit": False, **settings})
        c.subscribe([topic])
        got, until = [], time.time() + 60
        while len(got) < count and time.time() < until:
            m = c.poll(1)
            if m is None:
                continue
            if m.error():
                raise KafkaException(m.error())
            got.append((m.key(), m.value()))
        c.commit(asynchronous=False)
        c.close()
        return got

    for n, codec in enumerate(CODECS):
        produce(n * PER_CODEC, (n + 1) * PER_CODEC, **{"compression.type": codec, "enable.idempotence": n % 2 == 0})
    check(consume(TOTAL), 0, TOTAL, "first read")
    produce(TOTAL, TOTAL + 50)
    check(consume(50, **{"group.instance.id": "static-1"}), TOTAL, TOTAL + 50, "second read, by a static member")

    parts = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, parts)])[group].result(20)
    same(sum(p.offset for p in offsets.topic_partitions), TOTAL + 50, "offsets committed")
    described = admin.describe_consumer_groups([group])[group].result(20)
    same(described.group_id, group, "group")
    config = admin.describe_configs([ConfigResource("topic", topic)])
    same(next(iter(config.values())).result(20)["retention.ms"].value, "3600000", "retention.ms")
    admin.create_partitions([NewPartitions(topic, PARTITIONS + 2)])[topic].result(20)
    admin.delete_topics([topic])[topic].result(20)


def kafkapython(topic, group):
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    from kafka.admin import NewTopic
    from kafka.structs import TopicPartition

    admin = KafkaAdminClient(bootstrap_servers=BROKER)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])

    def produce(first, last, codec="none"):
        p = KafkaProducer(bootstrap_servers=BROKER, acks="all", compression_type=None if codec == "none" else codec)
        sent = []
        for i in range(first, last):
            key, value = message(i)
            sent.append(p.send(topic, value=value, key=key, headers=[("n", b"%d" % i)]))
        p.flush(40)
        for s in sent:
            s.get(10)
        p.close()

    def consume(count):
        c = KafkaConsumer(topic, bootstrap_servers=BROKER, group_id=group, auto_offset_reset="earliest",
                          enable_auto_commit=False, consumer_timeout_ms=30000)
        got = []
        for m in c:
            got.append((bytes(m.key), bytes(m.value)))
            if len(got) == count:
                break
        c.commit()
        c.close()
        return got

    for n, codec in enumerate(CODECS):
        produce(n * PER_CODEC, (n + 1) * PER_CODEC, codec)
    check(consume(TOTAL), 0, TOTAL, "first read")
    produce(TOTAL, TOTAL + 50)
    check(consume(50), TOTAL, TOTAL + 50, "second read")

    c = KafkaConsumer(bootstrap_servers=BROKER)
    parts = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    same(sum(c.end_offsets(parts).values()), TOTAL + 50, "end offsets")
    same(c.beginning_offsets(parts), {p: 0 for p in parts}, "first offsets")
    found = c.offsets_for_times({parts[0]: 0})[parts[0]]
    same(found.offset, 0, "offset at time 0")
    c.close()
    admin.delete_topics([topic])
    admin.close()


def aiokafka(topic, group):
    asyncio.run(aiokafka_run(topic, group))


async def aiokafka_run(topic, group):
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])

    async def produce(first, last, codec="none", **settings):
        p = AIOKafkaProducer(bootstrap_servers=BROKER, compression_type=None if codec == "none" else codec, **settings)
        await p.start()
        sent = []
        for i in range(first, last):
            key, value = message(i)
            sent.append(await p.send(topic, value, key, headers=[("n", b"%d" % i)]))
        await asyncio.gather(*sent)
        await p.stop()

    async def consume(count):
        c = AIOKafkaConsumer(topic, bootstrap_servers=BROKER, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False)
        await c.start()
        got = []
        async for m in c:
            got.append((bytes(m.key), bytes(m.value)))
            if len(got) == count:
                break
        await c.commit()
        ends = await c.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)])
        await c.stop()
        return got, sum(ends.values())

    for n, codec in enumerate(CODECS):
        await produce(n * PER_CODEC, (n + 1) * PER_CODEC, codec, enable_idempotence=n % 2 == 0)
    got, _ = await asyncio.wait_for(consume(TOTAL), 60)
    check(got, 0, TOTAL, "first read")
    await produce(TOTAL, TOTAL + 50)
    got, ends = await asyncio.wait_for(consume(50), 60)
    check(got, TOTAL, TOTAL + 50, "second read")
    same(ends, TOTAL + 50, "end offsets")
    await admin.delete_topics([topic])
    await admin.close()


if __name__ == "__main__":
    clients = {"confluent": confluent, "kafkapython": kafkapython, "aiokafka": aiokafka}
    which = sys.argv[1]
    stamp = time.time_ns()
    clients[which](f"{which}-{stamp}", f"{which}-group-{stamp}")
    print(f"{which}: ok")
