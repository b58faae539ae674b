package dev.mailhaul;

import java.io.ByteArrayOutputStream;
import java.security.MessageDigest;
import java.util.HexFormat;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.aws2.s3.AWS2S3Constants;
import org.apache.camel.component.mail.MailMessage;
import org.apache.camel.main.Main;

/** Fetches mail over POP3, stores each message as it came and each attachment, and appends one event for each. */
public final class Haul extends RouteBuilder {
    private final Main main;
    private int left = Integer.parseInt(argument("messages"));

    private Haul(Main main) {
        this.main = main;
    }

    private static String argument(String name) {
        return System.getProperty("haul." + name);
    }

    public static void main(String[] arguments) throws Exception {
        Main main = new Main();
        main.configure().addRoutesBuilder(new Haul(main));
        main.run();
    }

    @Override
    public void configure() {
        String bucket = "aws2-s3://" + argument("bucket") + "?accessKey=RAW(" + argument("access") + ")&secretKey=RAW("
            + argument("secret") + ")&region=" + argument("region") + "&overrideEndpoint=true&uriEndpointOverride="
            + argument("endpoint") + "&forcePathStyle=true";
        from("pop3s://localhost:" + argument("port") + "?username=" + argument("user") + "&password=RAW("
            + argument("password") + ")&delete=true&fetchSize=-1&maxMessagesPerPoll=-1&initialDelay=0&delay=1000"
            + "&disconnect=true")
            .process(this::read)
            .to(bucket)
            .split(exchangeProperty("attachments"))
                .process(this::attachment)
                .to(bucket)
            .end()
            .setBody(exchangeProperty("event"))
            .to("file:" + argument("folder") + "?fileName=events.jsonl&fileExist=Append&appendChars=\\n")
            .process(exchange -> count());
    }

    private void count() {
        if (--left == 0) {
            main.completed();
        }
    }

    private void read(Exchange exchange) throws Exception {
        MailMessage mail = exchange.getIn(MailMessage.class);
        ByteArrayOutputStream raw = new ByteArrayOutputStream();
        mail.getOriginalMessage().writeTo(raw);
        String key = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(raw.toByteArray()));
        exchange.setProperty("key", key);
        exchange.setProperty("attachments", Parts.of(mail.getOriginalMessage()));
        exchange.setProperty("event", "{\"key\": \"" + key + "\", \"size\": " + raw.size() + "}");
        exchange.getIn().removeHeaders("*");
        exchange.getIn().setHeader(AWS2S3Constants.KEY, "haul/" + key + "/raw.eml");
        exchange.getIn().setBody(raw.toByteArray());
    }

    private void attachment(Exchange exchange) {
        int index = exchange.getProperty(Exchange.SPLIT_INDEX, Integer.class);
        String key = "haul/" + exchange.getProperty("key") + "/" + index;
        exchange.getIn().removeHeaders("*");
        exchange.getIn().setHeader(AWS2S3Constants.KEY, key);
    }
}
