package dev.mailhaul;

import jakarta.mail.Multipart;
import jakarta.mail.Part;
import java.util.ArrayList;
import java.util.List;

/** The decoded leaves of a message. */
final class Parts {
    private Parts() {
    }

    static List<byte[]> of(Part part) throws Exception {
        List<byte[]> found = new ArrayList<>();
        if (part.getContent() instanceof Multipart parts) {
            for (int index = 0; index < parts.getCount(); index++) {
                found.addAll(of(parts.getBodyPart(index)));
            }
        } else {
            found.add(part.getInputStream().readAllBytes());
        }
        return found;
    }
}
