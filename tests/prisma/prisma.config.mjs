// Prisma with its WebAssembly schema engine, over a driver adapter: no engine is downloaded. PG* say where.
import { PrismaPg } from "@prisma/adapter-pg";
import { ColumnTypeEnum } from "@prisma/driver-adapter-utils";
import { defineConfig } from "prisma/config";

// The catalog's own types, which the adapter does not know (prisma issue 27403), and what they are read as.
const CHAR = 18;
const READ_AS = new Map([[CHAR, 25], [19 /* name */, 25], [1002 /* "char"[] */, 1009], [1003 /* name[] */, 1009]]);

class CatalogPg extends PrismaPg {
  async connect() {
    const adapter = await super.connect();
    const queryRaw = adapter.queryRaw;
    adapter.queryRaw = async (query) => {
      let types = [];
      const performIO = async (sent) => {
        const result = await adapter.performIO(sent);
        types = result.fields.map((field) => field.dataTypeID);
        for (const field of result.fields) field.dataTypeID = READ_AS.get(field.dataTypeID) ?? field.dataTypeID;
        return result;
      };
      const answer = await queryRaw.call(Object.create(adapter, { performIO: { value: performIO } }), query);
      answer.columnTypes = answer.columnTypes.map((type, place) =>
        types[place] === CHAR ? ColumnTypeEnum.Character : type,
      );
      return answer;
    };
    return adapter;
  }
}

export default defineConfig({
  experimental: { adapter: true },
  engine: "js",
  schema: "prisma/schema.prisma",
  adapter: async () => new CatalogPg({}),
});
