"""Images as pixels, sheets, PNG and animations, without torch and matplotlib."""
