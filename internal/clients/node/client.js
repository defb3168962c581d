// Produces, consumes and administers with kafkajs.
//
//     SLUICE_BROKER=127.0.0.1:9092 node client.js
//
// Exits with 0 if the broker did what the client asked, else with a message.
'use strict'

const { Kafka, CompressionTypes, logLevel } = require('kafkajs')
const assert = require('node:assert')

const total = 200
const message = (i) => ({ key: `key ${i % 11}`, value: `value ${i} of a record that compresses, compresses well`, headers: { n: `${i}` } })

async function main () {
  const kafka = new Kafka({ clientId: 'compat', brokers: [process.env.SLUICE_BROKER], logLevel: logLevel.ERROR })
  const topic = `kafkajs-${Date.now()}`
  const groupId = `kafkajs-group-${Date.now()}`

  const admin = kafka.admin()
  await admin.connect()
  assert(await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] }))
  assert((await admin.listTopics()).includes(topic))
  assert.equal((await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length, 3)

  await produce(kafka, topic, { from: 0, to: 100, idempotent: false, compression: CompressionTypes.None })
  await produce(kafka, topic, { from: 100, to: total, idempotent: true, compression: CompressionTypes.GZIP })
  check(await consume(kafka, topic, groupId, total), 0, total)
  await produce(kafka, topic, { from: total, to: total + 50, idempotent: false, compression: CompressionTypes.GZIP })
  check(await consume(kafka, topic, groupId, 50), total, total + 50)

  const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
  assert.equal(sum(committed.partitions.map((p) => p.offset)), total + 50)
  assert.equal(sum((await admin.fetchTopicOffsets(topic)).map((p) => p.high)), total + 50)
  assert.equal(sum((await admin.fetchTopicOffsetsByTimestamp(topic, 0)).map((p) => p.offset)), 0)
  assert((await admin.listGroups()).groups.some((g) => g.groupId === groupId))
  assert.equal((await admin.describeGroups([groupId])).groups[0].state, 'Empty')
  await admin.resetOffsets({ groupId, topic, earliest: true })
  const configs = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic, configNames: ['retention.ms'] }] })
  assert.equal(configs.resources[0].configEntries[0].configValue, '3600000')
  await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] })
  assert.equal((await admin.describeCluster()).brokers.length, 1)
  await admin.deleteGroups([groupId])
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
}

async function produce (kafka, topic, { from, to, idempotent, compression }) {
  const producer = kafka.producer({ idempotent })
  await producer.connect()
  const messages = []
  for (let i = from; i < to; i++) messages.push(message(i))
  await producer.send({ topic, messages, compression, acks: -1 })
  await producer.disconnect()
}

async function consume (kafka, topic, groupId, count) {
  const consumer = kafka.consumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const got = []
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${got.length} of ${count} messages came in time`)), 60_000)
    consumer.run({
      eachMessage: async ({ message }) => {
        got.push({ key: `${message.key}`, value: `${message.value}`, headers: { n: `${message.headers.n}` } })
        if (got.length === count) { clearTimeout(timer); resolve() }
      }
    }).catch(reject)
  })
  await consumer.stop() // commits
  await consumer.disconnect()
  return got
}

function check (got, from, to) {
  const want = []
  for (let i = from; i < to; i++) want.push(message(i))
  const order = (a, b) => a.headers.n - b.headers.n
  assert.deepEqual(got.sort(order), want.sort(order))
}

const sum = (list) => list.reduce((a, b) => a + Number(b), 0)

main().then(() => console.log('kafkajs: ok'), (err) => { console.error(err); process.exit(1) })
