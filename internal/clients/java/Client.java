import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Produces, consumes and administers with the Java client.
 *
 * <p>SLUICE_BROKER=127.0.0.1:9092 java -cp 'JARS/*' Client.java
 *
 * <p>Exits with 0 if the broker did what the client asked.
 */
public class Client {
  static final String BROKER = System.getenv("SLUICE_BROKER");
  static final int PARTITIONS = 3;
  static final int PER_CODEC = 100;

  public static void main(String[] args) throws Exception {
    String topic = "java-" + System.nanoTime();
    String group = "java-group-" + System.nanoTime();
    try (Admin admin = Admin.create(settings(Map.of()))) {
      admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1).configs(Map.of("retention.ms", "3600000")))).all().get();
      int sent = 0;
      for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
        // The Java producer is idempotent unless told otherwise.
        produce(topic, sent, sent + PER_CODEC, Map.of("compression.type", codec, "enable.idempotence", !codec.equals("gzip")));
        sent += PER_CODEC;
      }
      check(consume(topic, group, sent, Map.of()), 0, sent);
      produce(topic, sent, sent + 50, Map.of("acks", "1", "enable.idempotence", "false"));
      check(consume(topic, group, 50, Map.of("group.instance.id", "static-1", "partition.assignment.strategy",
          "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")), sent, sent + 50);
      inspect(admin, topic, group, sent + 50);
      // A static member that leaves stays in its group until somebody removes it.
      admin.removeMembersFromConsumerGroup(group,
          new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("static-1")))).all().get();
      admin.deleteConsumerGroups(List.of(group)).all().get();
      admin.deleteTopics(List.of(topic)).all().get();
    }
    System.out.println("java: ok");
  }

  static Properties settings(Map<String, ?> more) {
    Properties p = new Properties();
    p.put("bootstrap.servers", BROKER);
    p.putAll(more);
    return p;
  }

  static String key(int i) {
    return "key " + i % 11;
  }

  static String value(int i) {
    return "value " + i + " of a record that compresses, compresses well";
  }

  static void produce(String topic, int from, int to, Map<String, ?> more) throws Exception {
    try (var p = new KafkaProducer<>(settings(more), new StringSerializer(), new StringSerializer())) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (int i = from; i < to; i++) {
        var r = new ProducerRecord<>(topic, key(i), value(i));
        r.headers().add("n", String.valueOf(i).getBytes());
        sent.add(p.send(r));
      }
      for (var s : sent) {
        s.get();
      }
    }
  }

  static List<String> consume(String topic, String group, int count, Map<String, ?> more) {
    Map<String, Object> all = new HashMap<>(more);
    all.putAll(Map.of("group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
    List<String> got = new ArrayList<>();
    try (var c = new KafkaConsumer<>(settings(all), new StringDeserializer(), new StringDeserializer())) {
      c.subscribe(List.of(topic));
      long until = System.currentTimeMillis() + 60_000;
      while (got.size() < count && System.currentTimeMillis() < until) {
        for (ConsumerRecord<String, String> r : c.poll(Duration.ofMillis(500))) {
          got.add(r.key() + "|" + r.value() + "|" + new String(r.headers().lastHeader("n").value()));
        }
      }
      c.commitSync();
    }
    return got;
  }

  static void check(List<String> got, int from, int to) {
    List<String> want = new ArrayList<>();
    for (int i = from; i < to; i++) {
      want.add(key(i) + "|" + value(i) + "|" + i);
    }
    Collections.sort(want);
    Collections.sort(got);
    expect(got.equals(want), got.size() + " records came back that are not the " + want.size() + " produced");
  }

  static void inspect(Admin admin, String topic, String group, long total) throws Exception {
    var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    expect(described.partitions().size() == PARTITIONS, "describe topics: " + described);
    long committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
        .mapToLong(o -> o.offset()).sum();
    expect(committed == total, "offsets committed add up to " + committed);
    var state = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    expect(state.groupId().equals(group), "describe group: " + state);
    expect(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "list groups does not have " + group);
    var first = new TopicPartition(topic, 0);
    for (var spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp(), OffsetSpec.forTimestamp(0))) {
      long at = admin.listOffsets(Map.of(first, spec)).partitionResult(first).get().offset();
      expect(at >= 0, spec + " is at offset " + at);
    }
    var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    String retention = admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
    expect(retention.equals("3600000"), "retention.ms is " + retention);
    Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "60000"), AlterConfigOp.OpType.SET));
    admin.incrementalAlterConfigs(Map.of(resource, ops)).all().get();
    admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(PARTITIONS + 2))).all().get();
    admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(1))).all().get();
    expect(admin.describeCluster().nodes().get().size() == 1, "more than one broker");
  }

  static void expect(boolean ok, String otherwise) {
    if (!ok) {
      throw new IllegalStateException(otherwise);
    }
  }
}
